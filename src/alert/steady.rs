//! Readings of a clock that never steps, and what they tell of calls that an earlier run made.

use jiff::{SignedDuration, Timestamp};

use super::time::after;

/// A reading of the steady clock, in milliseconds since a moment that only the machine knows.
///
/// It runs on evenly whatever happens to the time of day, and starts anew with the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(i64);

impl Steady {
    /// Takes milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the reading this much later.
    #[must_use]
    pub fn after(self, by: SignedDuration) -> Self {
        Self(self.0.saturating_add(clamped_millis(by)))
    }

    /// Returns the reading this much earlier.
    #[must_use]
    pub fn before(self, by: SignedDuration) -> Self {
        Self(self.0.saturating_sub(clamped_millis(by)))
    }

    /// Returns the time since an earlier reading; negative if it is later.
    pub fn since(self, earlier: Self) -> SignedDuration {
        SignedDuration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A moment from which the time of day is reckoned by the steady clock: as if nobody had set the clock since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    at: Timestamp,
    steady: Steady,
}

impl Anchor {
    /// Takes a moment by both clocks.
    pub fn new(at: Timestamp, steady: Steady) -> Self {
        Self { at, steady }
    }

    /// Returns the time of a reading of the steady clock.
    pub fn time_of(self, reading: Steady) -> Timestamp {
        after(self.at, reading.since(self.steady))
    }

    /// Returns by how much the time of day was set back since, if it was.
    pub fn was_set_back(self, now: Timestamp, steady: Steady) -> Option<SignedDuration> {
        let reckoned = self.time_of(steady);
        lies_ahead(reckoned, now).then(|| reckoned.duration_since(now))
    }
}

/// Says whether a moment that has passed lies so far ahead that the time of day must have been set back since.
pub fn lies_ahead(moment: Timestamp, now: Timestamp) -> bool {
    moment.duration_since(now) >= STEP_MIN
}

/// Less is what clocks are kept right by.
const STEP_MIN: SignedDuration = SignedDuration::from_secs(1);

fn clamped_millis(by: SignedDuration) -> i64 {
    i64::try_from(by.as_millis()).unwrap_or(if by.is_negative() { i64::MIN } else { i64::MAX })
}

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub at: Timestamp,
    /// The steady clock; not known of calls that old versions kept.
    pub steady: Option<Steady>,
}

impl Moment {
    /// Returns how much time has passed since an earlier moment at the most, and never less than nothing: by the later of the
    /// two clocks, so that nothing seems newer than it is. The steady clock stands still while the machine sleeps.
    pub fn longest_since(self, earlier: Self) -> SignedDuration {
        let by_day = self.at.duration_since(earlier.at).max(SignedDuration::ZERO);
        let by_steady = self.steady.zip(earlier.steady).map(|(now, then)| now.since(then));
        by_steady.map_or(by_day, |passed| passed.max(by_day))
    }

    /// Returns how much time has passed since an earlier moment at the least.
    ///
    /// Either clock may deceive: the time of day is set, the steady clock starts anew. The smaller of the two is taken,
    /// and never less than nothing, so that what is known of calls never makes them older than they are.
    pub fn since(self, earlier: Self) -> SignedDuration {
        let by_day = self.at.duration_since(earlier.at).max(SignedDuration::ZERO);
        let by_steady = self.steady.zip(earlier.steady).map(|(now, then)| now.since(then));
        match by_steady {
            Some(passed) if !passed.is_negative() => passed.min(by_day),
            // The machine was started anew in between.
            Some(_) | None => by_day,
        }
    }
}
