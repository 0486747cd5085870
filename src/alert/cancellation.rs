//! The cancellation of an action: who wants it and why, and what came of asking Defender for it.

use jiff::{SignedDuration, Timestamp};

use super::ids::ActionId;
use super::outcome::Refusal;
use super::state::State;
use super::who::Who;

/// The wish that an action ends, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// When it was last asked for.
    pub requested_at: Timestamp,
    /// Who wants it.
    pub by: Who,
    /// Why, for people.
    pub reason: String,
    /// What was last found out about it, for a person.
    pub why: String,
    /// When Defender may be called next, at the earliest; `None` once it took effect or was given up.
    pub next_at: Option<Timestamp>,
    /// How many cancel calls were recorded in all.
    pub calls: u32,
    /// How many of them since it was last asked for.
    pub tries: u32,
    /// How often in a row Defender's list did not have the machine action.
    pub unlisted: u32,
    /// The last cancel call.
    pub last_call: Option<CancelCall>,
}

/// How a cancellation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is on disk and will take effect as soon as it can.
    Pending,
    /// The action is cancelled.
    Done,
    /// The action ended otherwise before the cancellation could take effect.
    TooLate,
    /// It cannot be had: Defender refuses it, or it is not ours to ask for. It may be requested again.
    GivenUp,
}

impl Standing {
    /// Returns the word used in API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::TooLate => "too_late",
            Self::GivenUp => "given_up",
        }
    }
}

impl Cancellation {
    /// Returns how it stands while its action is in this state.
    pub fn standing(&self, state: State) -> Standing {
        match state {
            State::Cancelled => Standing::Done,
            state if state.is_final() => Standing::TooLate,
            _ if self.next_at.is_some() => Standing::Pending,
            _ => Standing::GivenUp,
        }
    }
}

/// One cancel call, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelCall {
    /// When its record was on disk.
    pub at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// HTTP status of the answer.
    pub http_status: Option<u16>,
    /// Defender's error code.
    pub code: Option<String>,
    /// Defender's message, or what went wrong.
    pub message: Option<String>,
    /// Defender's correlation id.
    pub correlation_id: Option<String>,
}

/// What Defender's list must be read for: a submitted action that somebody wants cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The action.
    pub action: ActionId,
    /// Its cancellation.
    pub cancellation: Cancellation,
    /// The other actions of ours that have the same machine action.
    pub sharers: Vec<Sharer>,
}

/// Another action of ours with the same machine action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// Which.
    pub action: ActionId,
    /// The comment of its own calls.
    pub comment: String,
    /// Whether it is unfinished and nobody wants it cancelled.
    pub still_wants_it: bool,
}

/// What is known about one cancel call after it ended. Whatever it is, Defender's list has the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Defender took it. That does not mean that the machine action is cancelled (reference, defender-api 2).
    Taken,
    /// The token's roles do not allow it.
    Forbidden(Refusal),
    /// Defender did not believe the token.
    Unauthorized(Refusal),
    /// Defender's limit was reached.
    Throttled {
        /// What Defender said.
        refusal: Refusal,
        /// How long Defender asks to wait.
        wait: SignedDuration,
    },
    /// Defender said no: it is over already, cannot be cancelled, or is not known there.
    Refused(Refusal),
    /// Not one byte of the request left.
    NotSent {
        /// What went wrong, for a person.
        why: String,
    },
    /// The request may have been acted upon.
    Unknown {
        /// What went wrong, for a person.
        why: String,
        /// The status of the answer, if there was one.
        status: Option<u16>,
    },
}

impl CancelOutcome {
    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Forbidden(_) => "forbidden",
            Self::Unauthorized(_) => "unauthorized",
            Self::Throttled { .. } => "throttled",
            Self::Refused(_) => "refused",
            Self::NotSent { .. } => "not_sent",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Returns what Defender said, if it said no.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Forbidden(refusal)
            | Self::Unauthorized(refusal)
            | Self::Throttled { refusal, .. }
            | Self::Refused(refusal) => Some(refusal),
            Self::Taken | Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }
}
