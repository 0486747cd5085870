//! Notices that the time of day was set back. Pure.
//!
//! What waits does so until a time of day. Where the clock is set back by an hour, it would wait for an hour longer.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Steady, after};

/// Less is what clocks are kept right by.
const STEP_MIN: SignedDuration = SignedDuration::from_secs(1);

/// A reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    at: Timestamp,
    steady: Steady,
}

impl Day {
    /// Takes a reading.
    pub(super) fn new(at: Timestamp, steady: Steady) -> Self {
        Self { at, steady }
    }

    /// Returns by how much the time of day was set back since this reading, if it was.
    pub(super) fn was_set_back(self, now: Self) -> Option<SignedDuration> {
        let expected = after(self.at, now.steady.since(self.steady));
        let back = expected.duration_since(now.at);
        (back >= STEP_MIN).then_some(back)
    }
}
