//! The calls that Microsoft's limits leave: a sliding log of calls in two windows.
//!
//! Both windows are longer than Microsoft's by a margin above the network delay, so that the limits hold whether
//! Defender counts by fixed or sliding windows and whenever it counts a call. Time is the steady clock's: setting the
//! time of day neither frees a window nor closes one.

use std::collections::VecDeque;

use jiff::SignedDuration;

use crate::alert::{Severity, Steady};

/// Above the network delay.
pub const MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// Microsoft's minute, with margin.
pub(super) const MINUTE: SignedDuration = SignedDuration::from_secs(62);

/// Microsoft's hour, with margin.
pub(super) const HOUR: SignedDuration = SignedDuration::from_secs(3_602);

/// The part of the limits that is kept for high and critical, in percent; below 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve(u32);

impl Reserve {
    /// Nothing is kept.
    pub const NONE: Self = Self(0);

    /// The largest, in percent: the other severities must have something.
    pub const PERCENT_MAX: u32 = 90;

    /// Takes percent, if there are not too many.
    pub fn from_percent(percent: u32) -> Option<Self> {
        (percent <= Self::PERCENT_MAX).then_some(Self(percent))
    }

    /// Returns what is kept of so many.
    pub fn of(self, limit: usize) -> usize {
        let percent = usize::try_from(self.0).unwrap_or(0);
        limit.saturating_mul(percent).checked_div(100).unwrap_or(0)
    }
}

impl Default for Reserve {
    /// A fifth.
    fn default() -> Self {
        Self(20)
    }
}

/// How much of the limits a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All of them: high and critical.
    Whole,
    /// What is above the reserve: the others.
    AboveReserve,
}

impl Share {
    /// Returns the share of a severity. A word that nobody knows counts as the mildest.
    pub fn of(severity: Option<Severity>) -> Self {
        match severity {
            Some(Severity::Critical | Severity::High) => Self::Whole,
            Some(Severity::Medium | Severity::Low | Severity::Informational) | None => Self::AboveReserve,
        }
    }
}

/// The limits of one part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls a minute.
    pub per_minute: u32,
    /// Calls an hour.
    pub per_hour: u32,
    /// What is kept of both.
    pub reserve: Reserve,
}

impl Limits {
    /// Returns how many calls a share has in the minute and in the hour.
    pub(super) fn of(self, share: Share) -> [usize; 2] {
        [self.per_minute, self.per_hour].map(|limit| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            match share {
                Share::Whole => limit,
                Share::AboveReserve => limit.saturating_sub(self.reserve.of(limit)),
            }
        })
    }
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Now,
    /// Not before then.
    WaitUntil(Steady),
}

/// What one window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// `minute` or `hour`.
    pub window: &'static str,
    /// How many calls it may hold.
    pub limit: usize,
    /// How many of those are kept for high and critical.
    pub reserve: usize,
    /// How many it holds.
    pub used: usize,
}

impl Use {
    /// Returns how many calls it has left.
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }
}

/// The calls left of one part of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    limits: Limits,
    /// When the calls of the last hour were made, oldest first.
    calls: VecDeque<Steady>,
    /// Defender asked to wait until then.
    blocked_until: Option<Steady>,
}

impl Budget {
    /// Takes the limits and the calls that were made already, oldest first.
    pub fn new(limits: Limits, calls: Vec<Steady>) -> Self {
        Self { limits, calls: calls.into(), blocked_until: None }
    }

    /// Changes the limits; calls that were made still count.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Returns the limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Says whether a call may be made.
    pub fn permit(&self, share: Share, now: Steady) -> Permit {
        self.permit_several(share, 1, now)
    }

    /// Says whether so many calls may be made at once. More than the limits hold wait for an empty window.
    pub fn permit_several(&self, share: Share, count: usize, now: Steady) -> Permit {
        let more = count.saturating_sub(1);
        let [minute, hour] = self.limits.of(share).map(|limit| limit.saturating_sub(more).max(limit.min(1)));
        let calls =
            |back| self.calls.len().checked_sub(back).and_then(|index| self.calls.get(index)).copied();
        let waits =
            [room_at(minute, MINUTE, now, calls), room_at(hour, HOUR, now, calls), self.blocked_until];
        match waits.into_iter().flatten().max() {
            Some(at) if at > now => Permit::WaitUntil(at),
            Some(_) | None => Permit::Now,
        }
    }

    /// Counts a call.
    pub fn record(&mut self, at: Steady) {
        let old = at.before(HOUR);
        while self.calls.front().is_some_and(|call| *call < old) {
            self.calls.pop_front();
        }
        self.insert(at);
    }

    /// Takes back a call that was counted and then not made.
    pub fn release(&mut self, at: Steady) {
        if let Some(index) = self.calls.iter().rposition(|call| *call == at) {
            self.calls.remove(index);
        }
    }

    /// Learns that a call was answered: Defender counted it between the two, at the latest now.
    ///
    /// Where that took longer than the margin allows for, the call counts from then on, so that the limits hold for any
    /// delay.
    pub fn answered(&mut self, counted_at: Steady, now: Steady) {
        if is_late(counted_at, now) {
            self.release(counted_at);
            self.insert(now.before(MARGIN));
        }
    }

    /// Makes no call until then: Defender asked for it.
    pub fn block(&mut self, until: Steady) {
        self.blocked_until = self.blocked_until.max(Some(until));
    }

    /// Returns until when Defender asked to wait, if that is still to come.
    pub fn blocked_until(&self, now: Steady) -> Option<Steady> {
        self.blocked_until.filter(|until| *until > now)
    }

    /// Returns what the minute and the hour hold.
    pub fn windows(&self, now: Steady) -> [Use; 2] {
        let of = |window, length: SignedDuration, limit: u32| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let begin = now.before(length);
            let used = self.calls.len().saturating_sub(self.calls.partition_point(|call| *call <= begin));
            Use { window, limit, reserve: self.limits.reserve.of(limit), used }
        };
        [of("minute", MINUTE, self.limits.per_minute), of("hour", HOUR, self.limits.per_hour)]
    }

    /// Returns when the calls of the last hour were made, oldest first.
    pub(super) fn calls(&self) -> impl Iterator<Item = Steady> {
        self.calls.iter().copied()
    }

    fn insert(&mut self, at: Steady) {
        let index = self.calls.partition_point(|call| *call <= at);
        self.calls.insert(index, at);
    }
}

/// Says whether a call was answered later than the margin allows for.
pub fn is_late(counted_at: Steady, answered: Steady) -> bool {
    answered.since(counted_at) > MARGIN
}

/// Returns when a window has room, if not always: when the call that fills it leaves it.
///
/// `calls` returns the call so many places back, 1 for the last.
pub(super) fn room_at(
    limit: usize,
    window: SignedDuration,
    now: Steady,
    calls: impl Fn(usize) -> Option<Steady>,
) -> Option<Steady> {
    // A limit of nothing never has room.
    if limit == 0 {
        return Some(now.after(window));
    }
    calls(limit).map(|filling| filling.after(window))
}
