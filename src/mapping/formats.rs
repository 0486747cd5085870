//! The formats that the bridge knows by name.

use super::program::{Program, ProgramError, SHARED};

/// A format that is built in.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What it reads, in one line.
    pub about: &'static str,
    /// Its jq program.
    pub code: &'static str,
}

/// Every built-in format.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "bridge",
        about: "our own plain form, for SOAR steps and senders made by hand",
        code: include_str!("formats/bridge.jq"),
    },
    BuiltIn {
        name: "defender-alert",
        about: "Microsoft Defender for Endpoint alert, as GET /api/alerts/{id} answers it",
        code: include_str!("formats/defender-alert.jq"),
    },
    BuiltIn {
        name: "graph-alert-v2",
        about: "Microsoft Graph security alert, as GET /security/alerts_v2/{id} answers it",
        code: include_str!("formats/graph-alert-v2.jq"),
    },
];

impl BuiltIn {
    /// Finds a built-in format by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|format| format.name == name)
    }

    /// Returns the program with the shared definitions in front, so that any jq can run it.
    pub fn standalone(&self) -> String {
        format!("{SHARED}\n{}", self.code)
    }
}

/// A format ready to run: a built-in one or a user's own.
#[derive(Debug)]
pub struct Format {
    name: String,
    program: Program,
}

impl Format {
    /// Loads a format from its program.
    pub fn load(name: &str, code: &str) -> Result<Self, ProgramError> {
        Ok(Self { name: name.to_owned(), program: Program::load(code)? })
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }
}
