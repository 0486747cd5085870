//! The calls that Defender's limits leave: a sliding log of calls in two windows. Pure.
//!
//! Both windows are longer than Microsoft's by a margin above the network delay, so that the limits hold
//! whether Defender counts by fixed or sliding windows and whenever it counts a call (DESIGN.md: simulated
//! with delays to 1.5 s).

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{after, before};

/// Above the network delay.
const MARGIN_SECS: i64 = 2;

/// Microsoft's minute, with margin.
const MINUTE: SignedDuration = SignedDuration::from_secs(60 + MARGIN_SECS);

/// Microsoft's hour, with margin.
const HOUR: SignedDuration = SignedDuration::from_secs(3_600 + MARGIN_SECS);

/// How far back calls count.
pub const LONGEST_WINDOW: SignedDuration = HOUR;

/// The calls left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    per_minute: usize,
    per_hour: usize,
    /// Times of the calls of the last hour, oldest first.
    calls: VecDeque<Timestamp>,
    /// Defender asked to wait until then.
    blocked_until: Option<Timestamp>,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Now,
    /// Not before then.
    WaitUntil(Timestamp),
}

impl Budget {
    /// Takes the limits and the calls that were made already, oldest first.
    pub fn new(per_minute: u32, per_hour: u32, calls: Vec<Timestamp>) -> Self {
        let mut budget = Self { per_minute: 0, per_hour: 0, calls: calls.into(), blocked_until: None };
        budget.set_limits(per_minute, per_hour);
        budget
    }

    /// Changes the limits; calls that were made still count.
    pub fn set_limits(&mut self, per_minute: u32, per_hour: u32) {
        let limit = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        self.per_minute = limit(per_minute);
        self.per_hour = limit(per_hour);
    }

    /// Says whether a call may be made.
    ///
    /// A call that lies in the future counts: the clock was set back, and how long ago it really was is not
    /// known.
    pub fn permit(&self, now: Timestamp) -> Permit {
        let waits = [
            self.blocked_until,
            self.room_at(self.per_minute, MINUTE, now),
            self.room_at(self.per_hour, HOUR, now),
        ];
        match waits.into_iter().flatten().max() {
            Some(at) if at > now => Permit::WaitUntil(at),
            Some(_) | None => Permit::Now,
        }
    }

    /// Counts a call.
    pub fn record(&mut self, at: Timestamp) {
        let old = before(at, LONGEST_WINDOW);
        while self.calls.front().is_some_and(|call| *call < old) {
            self.calls.pop_front();
        }
        self.calls.push_back(at);
    }

    /// Takes back a call that was counted and then not made.
    pub fn release(&mut self, at: Timestamp) {
        if let Some(index) = self.calls.iter().rposition(|call| *call == at) {
            self.calls.remove(index);
        }
    }

    /// Makes no call until then: Defender asked for it.
    pub fn block(&mut self, until: Timestamp) {
        self.blocked_until = self.blocked_until.max(Some(until));
    }

    /// Returns the calls left in the minute and in the hour.
    pub fn left(&self, now: Timestamp) -> [usize; 2] {
        [(self.per_minute, MINUTE), (self.per_hour, HOUR)]
            .map(|(limit, window)| limit.saturating_sub(self.within(window, now)))
    }

    fn within(&self, window: SignedDuration, now: Timestamp) -> usize {
        let begin = before(now, window);
        self.calls.iter().filter(|call| **call > begin).count()
    }

    /// Returns when the window has room, if it has none now: when the call that fills it leaves it.
    fn room_at(&self, limit: usize, window: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        if self.within(window, now) < limit {
            return None;
        }
        let filling = self.calls.iter().rev().nth(limit.saturating_sub(1)).copied().unwrap_or(now);
        Some(after(filling, window))
    }
}
