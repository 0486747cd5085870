//! The states of an action and the moves between them.

use std::fmt;
use std::str::FromStr;

/// Where an action stands. ARCHITECTURE.md draws the moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// On disk, nothing done yet.
    Accepted,
    /// Its device and file are being looked up.
    Resolving,
    /// Policy has answered.
    Decided,
    /// Waits for its turn in Defender's budget.
    Queued,
    /// The intent is on disk; the call may be on its way.
    Sending,
    /// Defender took it and gave it an id.
    Submitted,
    /// Sent, answer unknown; Defender's list will tell.
    Uncertain,
    /// A person must approve or complete it.
    Held,
    /// Defender says the file was stopped and quarantined.
    Succeeded,
    /// Defender says the device could not do it.
    Failed,
    /// Defender gave up waiting for the device.
    TimedOut,
    /// Somebody cancelled it, before it was sent or at Defender.
    Cancelled,
    /// Policy says no.
    Denied,
    /// Too old to be sent.
    Expired,
    /// A source in shadow mode: decided, recorded, never called.
    Shadowed,
    /// Another machine action already covers the target.
    Superseded,
    /// Defender refused the call.
    Rejected,
}

impl State {
    /// All states.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Resolving,
        Self::Decided,
        Self::Queued,
        Self::Sending,
        Self::Submitted,
        Self::Uncertain,
        Self::Held,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Denied,
        Self::Expired,
        Self::Shadowed,
        Self::Superseded,
        Self::Rejected,
    ];

    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Resolving => "resolving",
            Self::Decided => "decided",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Submitted => "submitted",
            Self::Uncertain => "uncertain",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Shadowed => "shadowed",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
        }
    }

    /// Says whether nothing more will happen.
    pub fn is_final(self) -> bool {
        self.next_states().is_empty()
    }

    /// Says whether an action may go from this state straight to `next`.
    pub fn may_become(self, next: Self) -> bool {
        self.next_states().contains(&next)
    }

    /// The moves that exist; whatever is not listed is a bug.
    fn next_states(self) -> &'static [Self] {
        match self {
            Self::Accepted => &[Self::Resolving, Self::Expired, Self::Cancelled],
            Self::Held => &[Self::Resolving, Self::Denied, Self::Expired, Self::Cancelled],
            Self::Resolving => &[Self::Decided, Self::Held, Self::Expired, Self::Cancelled],
            Self::Decided => {
                &[Self::Queued, Self::Held, Self::Denied, Self::Shadowed, Self::Expired, Self::Cancelled]
            }
            Self::Queued => &[
                Self::Sending,
                Self::Submitted,
                Self::Uncertain,
                Self::Held,
                Self::Denied,
                Self::Shadowed,
                Self::Expired,
                Self::Superseded,
                Self::Cancelled,
            ],
            Self::Sending => &[Self::Submitted, Self::Queued, Self::Rejected, Self::Uncertain],
            Self::Uncertain => &[Self::Submitted, Self::Queued, Self::Superseded],
            Self::Submitted => &[Self::Succeeded, Self::Failed, Self::TimedOut, Self::Cancelled],
            Self::Succeeded
            | Self::Failed
            | Self::TimedOut
            | Self::Cancelled
            | Self::Denied
            | Self::Expired
            | Self::Shadowed
            | Self::Superseded
            | Self::Rejected => &[],
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state {0:?}")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.chars().take(40).collect()))
    }
}
