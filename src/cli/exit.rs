//! Exit codes, and the only places where commands write.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::Complaints;
use crate::store::StoreError;

/// Something failed.
pub(super) const FAILURE: u8 = 1;

/// The arguments are wrong.
pub(super) const USAGE: Usage = Usage(2);

/// The other side is not there or refuses (`EX_UNAVAILABLE`).
pub(super) const UNAVAILABLE: u8 = 69;

/// The disk failed (`EX_IOERR`).
pub(super) const IO_ERROR: u8 = 74;

/// The configuration is wrong (`EX_CONFIG`).
pub(super) const CONFIG: u8 = 78;

/// Exit code for wrong arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage(u8);

impl From<Usage> for ExitCode {
    fn from(usage: Usage) -> Self {
        Self::from(usage.0)
    }
}

/// A failure with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) text: String,
}

/// Says what failed on standard error; returns the exit code.
pub(super) fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let is_misplaced = matches!(error.downcast_ref(), Some(StoreError::Misplaced { .. }));
    let code = if is_misplaced || error.is::<Complaints>() {
        CONFIG
    } else {
        error.downcast_ref::<Failure>().map_or(FAILURE, |failure| failure.code)
    };
    say_error(&format!("{error:#}"));
    ExitCode::from(code)
}

/// Writes a line of result to standard output. A reader who has left is no failure.
pub(super) fn say(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Writes a line for the person at the terminal to standard error.
pub(super) fn say_error(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
