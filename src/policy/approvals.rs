//! What persons have approved. An approval satisfies the holds that it names, and nothing else.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::guard::Guard;

/// One person's approval of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who, as a principal; two approvals of one principal count once.
    pub by: String,
    /// The guards whose holds the person saw and approves. A hold that turns up later is not covered.
    pub guards: Vec<Guard>,
    /// When. The alert's age counts from the last approval.
    pub at: Timestamp,
}

/// The approvals of one action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approvals(pub Vec<Approval>);

impl Approvals {
    /// Returns how many persons have approved the hold of a guard.
    pub fn of(&self, guard: Guard) -> usize {
        persons(self.0.iter().filter(|approval| approval.guards.contains(&guard)))
    }

    /// Returns how many persons have approved anything of the action.
    pub fn persons(&self) -> usize {
        persons(self.0.iter())
    }

    /// Returns when the last one was given.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.0.iter().map(|approval| approval.at).max()
    }

    /// Says whether a hold that asks for so many approvers is satisfied.
    pub fn satisfy(&self, guard: Guard, approvers: Option<u8>) -> bool {
        approvers.is_some_and(|needed| self.of(guard) >= usize::from(needed.max(1)))
    }
}

fn persons<'a>(approvals: impl Iterator<Item = &'a Approval>) -> usize {
    approvals.map(|approval| approval.by.as_str()).collect::<BTreeSet<_>>().len()
}
