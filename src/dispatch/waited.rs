//! How long calls have been uncertain, by a clock that nobody sets. Pure.
//!
//! The time of day may be set while an action waits to be settled. What it says of the wait is believed only if the steady
//! clock says so too.

use std::collections::HashMap;

use jiff::SignedDuration;

use crate::alert::{Advance, MachineId, Patch, State, Steady, Unsettled, after};

/// Since when the calls under way are uncertain. A machine has one at most.
#[derive(Debug)]
pub(super) struct Waited {
    /// When this run of the service began: what was uncertain before counts from then.
    started: Steady,
    since: HashMap<MachineId, Steady>,
}

impl Waited {
    pub(super) fn new(started: Steady) -> Self {
        Self { started, since: HashMap::new() }
    }

    /// A call has ended uncertain.
    pub(super) fn began(&mut self, machine: MachineId, at: Steady) {
        self.since.insert(machine, at);
    }

    /// Takes a move back that sends an action again although it has not waited for the whole settle time, and lets it wait for
    /// the rest.
    pub(super) fn no_sooner(
        &mut self,
        advance: Advance,
        unsettled: &Unsettled,
        (time, asked_at): (SignedDuration, Steady),
    ) -> Advance {
        let Some((change, target)) = advance.changes.last().zip(unsettled.action.target) else {
            return advance;
        };
        let since = self.since.get(&target.machine_id).copied().unwrap_or(self.started);
        let left = time.saturating_sub(asked_at.since(since));
        if change.to != State::Queued || !left.is_positive() {
            self.since.remove(&target.machine_id);
            return advance;
        }
        let patch = Patch { next_at: Some(after(change.at, left)), ..Patch::default() };
        Advance { changes: Vec::new(), patch, ..advance }
    }
}
