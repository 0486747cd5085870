//! Faults that the simulator plays on demand.

use serde::{Deserialize, Serialize};

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Entra ID's token endpoint.
    Token,
    /// StopAndQuarantineFile.
    Quarantine,
    /// Reads of machine actions.
    MachineActions,
    /// The cancelling of a machine action.
    Cancel,
    /// Reads of machines.
    Machines,
    /// Reads of alerts in Microsoft Graph.
    Alerts,
    /// Reads of files.
    Files,
    /// Reads of how widely files are spread.
    FileStats,
    /// Reads of the devices on which files were seen.
    FileMachines,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where it strikes.
    pub place: Place,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How many calls it strikes; always, if absent.
    #[serde(default)]
    pub times: Option<u32>,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Acts on the request, then drops the connection instead of answering.
    AnswerLost,
    /// Drops the connection without acting.
    RequestLost,
    /// Acts on the request, then answers this status with an HTML page, as a proxy would.
    ActedThenStatus {
        /// The status.
        status: u16,
    },
    /// Answers this status with an HTML page, without acting.
    Status {
        /// The status.
        status: u16,
    },
    /// Waits before it goes on as usual.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// 401.
    Unauthorized,
    /// 403 in the words of 2021.
    Forbidden2021,
    /// 403 in the words of 2023 and later.
    Forbidden2023,
    /// 404 for the machine.
    MachineNotFound,
    /// 404 for the file.
    FileNotFound,
    /// 429.
    Throttled {
        /// Value of `Retry-After`; absent if null.
        retry_after: Option<String>,
        /// Error code: `429` as seen, `TooManyRequests` as documented.
        code: String,
    },
    /// Acts on the request, then answers 201 with something that is no machine action.
    Garbage,
    /// Acts on the request, then answers half of it.
    Truncated,
    /// 307 to another host.
    Redirect,
    /// A list that goes on elsewhere.
    NextLink {
        /// Where.
        url: String,
    },
    /// Entra ID: wrong secret.
    InvalidClient,
    /// Entra ID, or a managed identity's endpoint: any other no.
    Refusal {
        /// The status.
        status: u16,
        /// The error word.
        error: String,
        /// The AADSTS number.
        number: u32,
        /// The sentence behind it.
        message: String,
    },
    /// Entra ID: temporarily unavailable.
    TemporarilyUnavailable,
    /// Entra ID: an answer without `expires_in`.
    NoExpiry,
}

impl FaultKind {
    /// Says whether the request is acted on before the fault shows.
    pub(super) fn acts_first(&self) -> bool {
        matches!(
            self,
            Self::AnswerLost
                | Self::ActedThenStatus { .. }
                | Self::Garbage
                | Self::Truncated
                | Self::Delay { .. }
                | Self::NextLink { .. }
                | Self::NoExpiry
        )
    }
}

/// The faults that wait for their calls.
#[derive(Debug, Clone, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault behind those that wait.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Says whether a fault waits for calls there.
    pub fn is_waiting(&self, place: Place) -> bool {
        self.0.iter().any(|fault| fault.place == place)
    }

    /// Removes all faults.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the fault that strikes a call, and counts it.
    pub(super) fn strike(&mut self, place: Place) -> Option<FaultKind> {
        let index = self.0.iter().position(|fault| fault.place == place)?;
        let fault = self.0.get_mut(index)?;
        let kind = fault.kind.clone();
        fault.times = fault.times.map(|times| times.saturating_sub(1));
        if fault.times == Some(0) {
            self.0.remove(index);
        }
        Some(kind)
    }
}
