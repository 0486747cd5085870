//! Token buckets: how often something may happen. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::after;

/// How often something may happen: once an interval in the long run, and so many times at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval_nanos: i64,
    burst: u32,
}

impl Rate {
    /// Once every `interval`, and `burst` times at once.
    pub fn every(interval: SignedDuration, burst: u32) -> Self {
        Self { interval_nanos: i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX), burst }
    }

    /// `count` times a minute, and `burst` times at once.
    pub fn per_minute(count: u32, burst: u32) -> Self {
        const MINUTE: i64 = 60_000_000_000;
        Self { interval_nanos: MINUTE.checked_div(count.into()).unwrap_or(MINUTE), burst }
    }

    /// How many a minute, in the long run.
    pub fn each_minute(self) -> u32 {
        const MINUTE: i64 = 60_000_000_000;
        MINUTE
            .checked_div(self.interval_nanos)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(u32::MAX)
    }

    /// How many at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    fn interval(self) -> SignedDuration {
        SignedDuration::from_nanos(self.interval_nanos)
    }

    /// How long an empty bucket takes to be full.
    pub fn whole(self) -> SignedDuration {
        SignedDuration::from_nanos(self.interval_nanos.saturating_mul(self.burst.into()))
    }
}

/// What is left of a rate, kept as the moment at which nothing of it is used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    /// A bucket of which nothing is used.
    pub const FULL: Self = Self { full_at: Timestamp::MIN };

    /// Takes one, or says how long it is until there is one.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), SignedDuration> {
        let wait = self.wait(rate, now);
        if wait > SignedDuration::ZERO {
            return Err(wait);
        }
        self.full_at = after(self.full_at.max(now), rate.interval());
        Ok(())
    }

    /// Returns how long it is until there is one; nothing, if there is one now.
    ///
    /// A bucket that looks more than empty becomes empty: the clock was set back, or the rate changed.
    pub fn wait(&mut self, rate: Rate, now: Timestamp) -> SignedDuration {
        self.full_at = self.full_at.min(after(now, rate.whole()));
        let one_less = after(self.full_at.max(now), rate.interval());
        let over = one_less.duration_since(after(now, rate.whole()));
        over.max(SignedDuration::ZERO)
    }

    /// Returns how many are left.
    pub fn left(&self, rate: Rate, now: Timestamp) -> u32 {
        let used = self.full_at.duration_since(now).max(SignedDuration::ZERO).as_nanos();
        let used = used.saturating_add(i128::from(rate.interval_nanos)).saturating_sub(1);
        let used = used.checked_div(rate.interval_nanos.into()).unwrap_or(0);
        rate.burst.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// Returns how long it is until nothing of it is used.
    pub fn full_in(&self, now: Timestamp) -> SignedDuration {
        self.full_at.duration_since(now).max(SignedDuration::ZERO)
    }

    /// Says whether nothing of it is used.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.full_at <= now
    }
}
