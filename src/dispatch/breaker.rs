//! A circuit breaker: after repeated failures an upstream is left alone, then tried with one call. Pure.
//!
//! It opens after three failures in a row within five minutes, and at once after a refusal, which every call would
//! meet. It stays open for 1 s, then twice as long after each probe that fails, up to 60 s.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{BreakerReport, BreakerState, OpenBreaker, Trouble, Upstream, after, before};

use super::backoff;

/// How many failures in a row open it.
const FAILURES: u32 = 3;

/// Failures that are further apart are not in a row.
const WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// What lets a call through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The breaker is closed.
    Free,
    /// The call finds out whether it can be closed.
    Probe,
}

/// What a call told of its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It works, and it takes us.
    Good,
    /// Nothing: no call was made, or a limit was reached.
    Nothing,
    /// It fails or refuses, and what it said.
    Bad(Trouble, String),
}

/// The breaker of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    upstream: Upstream,
    position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    Closed { failures: u32, last_at: Timestamp },
    Open { why: Why, until: Timestamp },
    Probing { why: Why },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Why {
    trouble: Trouble,
    said: String,
    since: Timestamp,
    /// How many times in a row it was opened.
    times: u32,
}

impl Breaker {
    /// Makes a closed one.
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream, position: Position::Closed { failures: 0, last_at: Timestamp::MIN } }
    }

    /// Returns what lets a call through now, or when there may be something; at the end of time if that depends on a
    /// call that is under way.
    pub fn ask(&self, now: Timestamp) -> Result<Pass, Timestamp> {
        match &self.position {
            Position::Closed { .. } => Ok(Pass::Free),
            Position::Open { until, .. } if *until <= now => Ok(Pass::Probe),
            Position::Open { until, .. } => Err(*until),
            Position::Probing { .. } => Err(Timestamp::MAX),
        }
    }

    /// Lets a call through by what [`Self::ask`] has returned.
    pub fn begin(&mut self, pass: Pass) {
        if let (Pass::Probe, Position::Open { why, .. }) = (pass, &self.position) {
            self.position = Position::Probing { why: why.clone() };
        }
    }

    /// Draws the conclusion from a call that was let through.
    ///
    /// Once it is open, only its probe counts: the others began before.
    pub fn hear(&mut self, pass: Pass, heard: Heard, now: Timestamp) {
        let next = match (&self.position, pass, heard) {
            (Position::Closed { .. } | Position::Probing { .. }, _, Heard::Good) if self.counts(pass) => {
                Position::Closed { failures: 0, last_at: now }
            }
            (Position::Closed { failures, last_at }, _, Heard::Bad(trouble, said)) => {
                let in_a_row = if before(now, WITHIN) > *last_at { 0 } else { *failures };
                let failures = in_a_row.saturating_add(1);
                if failures < FAILURES && !trouble.is_refusal() {
                    Position::Closed { failures, last_at: now }
                } else {
                    opened(Why { trouble, said, since: now, times: 1 }, now)
                }
            }
            (Position::Probing { why }, Pass::Probe, Heard::Bad(trouble, said)) => {
                let times = why.times.saturating_add(1);
                opened(Why { trouble, said, since: why.since, times }, now)
            }
            // The next call may try at once: this one has not.
            (Position::Probing { why }, Pass::Probe, Heard::Nothing) => {
                Position::Open { why: why.clone(), until: now }
            }
            _ => return,
        };
        self.position = next;
    }

    /// The time of day was set back by so much: it does not stay open longer for that.
    pub fn set_back(&mut self, by: SignedDuration) {
        if let Position::Open { until, .. } = &mut self.position {
            *until = before(*until, by);
        }
    }

    fn counts(&self, pass: Pass) -> bool {
        matches!(
            (&self.position, pass),
            (Position::Closed { .. }, _) | (Position::Probing { .. }, Pass::Probe)
        )
    }

    /// Says whether every call is held because it would be refused.
    pub fn is_refused(&self) -> bool {
        match &self.position {
            Position::Closed { .. } => false,
            Position::Open { why, .. } | Position::Probing { why } => why.trouble.is_refusal(),
        }
    }

    /// Tells how it stands.
    pub fn report(&self) -> BreakerReport {
        let open = |why: &Why, next_try_at| OpenBreaker {
            trouble: why.trouble,
            said: why.said.clone(),
            since: why.since,
            next_try_at,
        };
        let (state, open) = match &self.position {
            Position::Closed { .. } => (BreakerState::Closed, None),
            Position::Open { why, until } => (BreakerState::Open, Some(open(why, Some(*until)))),
            Position::Probing { why } => (BreakerState::Probing, Some(open(why, None))),
        };
        BreakerReport { upstream: self.upstream, state, open }
    }
}

fn opened(why: Why, now: Timestamp) -> Position {
    let until = after(now, backoff::after_failures(why.times));
    Position::Open { why, until }
}
