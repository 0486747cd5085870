//! The parts of Defender's API that are called. Microsoft limits each on its own.

use std::fmt;
use std::str::FromStr;

use super::question::LookupApi;

/// A part of Defender's API with limits of its own (reference, defender-api 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// StopAndQuarantineFile: the call that acts.
    Quarantine,
    /// Look-ups of devices.
    Machines,
    /// Look-ups of files.
    Files,
    /// Look-ups of how widely files are spread.
    FileStats,
    /// Look-ups of the devices on which files were seen.
    FileMachines,
    /// Reads of the list of machine actions.
    MachineActions,
    /// Cancelling a machine action.
    Cancel,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Quarantine,
        Self::Machines,
        Self::Files,
        Self::FileStats,
        Self::FileMachines,
        Self::MachineActions,
        Self::Cancel,
    ];

    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Machines => "machines",
            Self::Files => "files",
            Self::FileStats => "file_stats",
            Self::FileMachines => "file_machines",
            Self::MachineActions => "machine_actions",
            Self::Cancel => "cancel",
        }
    }
}

impl From<LookupApi> for Api {
    fn from(api: LookupApi) -> Self {
        match api {
            LookupApi::Machines => Self::Machines,
            LookupApi::Files => Self::Files,
            LookupApi::FileStats => Self::FileStats,
            LookupApi::FileMachines => Self::FileMachines,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no part of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no part of Defender's API")]
pub struct UnknownApi(String);

impl FromStr for Api {
    type Err = UnknownApi;

    fn from_str(text: &str) -> Result<Self, UnknownApi> {
        Self::ALL
            .into_iter()
            .find(|api| api.as_str() == text)
            .ok_or_else(|| UnknownApi(text.chars().take(40).collect()))
    }
}
