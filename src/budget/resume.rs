//! The calls of earlier runs, placed on the steady clock of this one.

use crate::alert::{Api, Moment, Steady};

/// A call as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptCall {
    /// Where it went.
    pub api: Api,
    /// When.
    pub moment: Moment,
}

/// Returns the calls of one part of the API by the steady clock of this run, oldest first.
///
/// `kept` are all calls, in the order in which they were made. Between two neighbours no more time has passed than both
/// clocks agree on. So a clock that was set forward while the service ran, or while it stood still on a machine that
/// ran on, makes no call older than it is, and one that was set back makes none younger than its neighbours.
pub fn resume(kept: &[KeptCall], api: Api, now: Moment, steady: Steady) -> Vec<Steady> {
    let mut later = now;
    let mut at = steady;
    let mut calls = Vec::new();
    for call in kept.iter().rev() {
        at = at.before(later.since(call.moment));
        later = call.moment;
        if call.api == api {
            calls.push(at);
        }
    }
    calls.reverse();
    calls
}
