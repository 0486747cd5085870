//! What is known about one call of Defender after it ended.

use std::fmt;

use jiff::SignedDuration;

use super::machine_action::MachineActionRef;

/// What we know about an attempt. The split that matters: could Defender be acting on it?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Defender made a machine action and gave its id.
    Accepted(MachineActionRef),
    /// Not one byte of the request left: nothing can have happened.
    NotSent {
        /// What went wrong, for a person.
        why: String,
    },
    /// Defender did not believe the token, and not a fresh one either: nothing happened.
    Unauthorized(Refusal),
    /// Defender's limit was reached: nothing happened.
    Throttled {
        /// What Defender said.
        refusal: Refusal,
        /// How long Defender asks to wait.
        wait: SignedDuration,
    },
    /// Defender says that an action is already in progress there: without saying which, or as if it were ours and naming
    /// another device or file.
    ActiveRequest(Refusal),
    /// Defender does not know the device, or not the file on it: nothing happened. It may be too early.
    NotFound(Refusal),
    /// Defender took the token and does not allow the call, whatever it is about: nothing happened.
    Forbidden(Refusal),
    /// Defender said no for good: nothing happened.
    Refused(Refusal),
    /// The request may have been received and acted upon.
    Unknown {
        /// What went wrong, for a person.
        why: String,
        /// The status of the answer, if there was one.
        status: Option<u16>,
    },
}

impl Outcome {
    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::NotSent { .. } => "not_sent",
            Self::Unauthorized(_) => "unauthorized",
            Self::Throttled { .. } => "throttled",
            Self::ActiveRequest(_) => "active_request",
            Self::NotFound(_) => "not_found",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Returns what Defender said, if it said no.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Unauthorized(refusal)
            | Self::Throttled { refusal, .. }
            | Self::ActiveRequest(refusal)
            | Self::NotFound(refusal)
            | Self::Forbidden(refusal)
            | Self::Refused(refusal) => Some(refusal),
            Self::Accepted(_) | Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// A clear no from Defender, in its own words; in ours where it has answered with what is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Defender's error code; empty if the answer had none.
    pub code: String,
    /// Defender's message, shortened; empty if the answer had none.
    pub message: String,
    /// Defender's correlation id (`target`), to quote to its support.
    pub correlation_id: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        match &self.correlation_id {
            Some(id) => write!(f, " (correlation id {id})"),
            None => Ok(()),
        }
    }
}
