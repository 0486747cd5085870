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

    /// Takes a move back that counts on the list having all, although the settle time is not over, and lets the action wait for the
    /// rest: one that sends it again, or one that says that somebody else's machine action stands for it.
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
        let counts_on_the_list = match change.to {
            State::Queued => true,
            State::Superseded => !unsettled.is_surely_unmade,
            _ => false,
        };
        if !counts_on_the_list || !left.is_positive() {
            self.since.remove(&target.machine_id);
            return advance;
        }
        let patch = Patch { next_at: Some(after(change.at, left)), ..Patch::default() };
        Advance { changes: Vec::new(), patch, ..advance }
    }
}
