//! Who is next: by severity, then by age, and every so often whoever has waited longest.
//!
//! Of any [`TURN`] calls in a row at least one goes to the action that has waited longest of all that may be sent then,
//! whatever its severity. New actions are younger than those that wait, so the actions that have waited longer than a
//! given one only become fewer: with `k` of them it goes out within `TURN * (k + 1)` calls, if it does not expire. The
//! rule makes no difference between severities, so none starves, be it by those above the reserve or within it.

use std::collections::VecDeque;

use crate::alert::{Action, ActionId, MachineId};

use super::Share;

/// Of so many calls in a row one goes to the action that has waited longest.
pub const TURN: u32 = 10;

/// The first of each order, of the actions that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads<T> {
    /// The most severe and then oldest of high and critical.
    pub urgent: Option<T>,
    /// The most severe and then oldest of the others.
    pub other: Option<T>,
    /// The oldest of all.
    pub longest: Option<T>,
}

/// Remembers how often the action that has waited longest was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fairness {
    passed_over: u32,
}

impl Fairness {
    /// Returns who is next, and how much of the limits that call may use.
    ///
    /// While high or critical actions wait, the turn of the one that has waited longest comes out of the whole, for
    /// they leave nothing above the reserve. While none waits, the reserve is not touched.
    pub fn next<T: Copy>(&self, heads: &Heads<T>) -> Option<(T, Share)> {
        let share = if heads.urgent.is_some() { Share::Whole } else { Share::AboveReserve };
        let most_urgent = heads.urgent.or(heads.other);
        let is_turn = self.passed_over >= TURN.saturating_sub(1);
        let next = if is_turn { heads.longest.or(most_urgent) } else { most_urgent };
        next.map(|next| (next, share))
    }

    /// Learns who was sent.
    pub fn sent<T: PartialEq>(&mut self, sent: &T, longest: Option<&T>) {
        let is_longest = longest.is_none_or(|longest| longest == sent);
        self.passed_over = if is_longest { 0 } else { self.passed_over.saturating_add(1) };
    }
}

/// The actions that may be sent, in their three orders; each list is the beginning of one.
#[derive(Debug, Default)]
pub struct Queue {
    /// High and critical, the most severe and then oldest first.
    pub urgent: VecDeque<Action>,
    /// The others, the most severe and then oldest first.
    pub others: VecDeque<Action>,
    /// All, the oldest first.
    pub longest: VecDeque<Action>,
}

impl Queue {
    /// Returns the first of each order.
    pub fn heads(&self) -> Heads<ActionId> {
        let first = |list: &VecDeque<Action>| list.front().map(|action| action.id);
        Heads { urgent: first(&self.urgent), other: first(&self.others), longest: first(&self.longest) }
    }

    /// Takes an action out.
    pub fn take(&mut self, id: ActionId) -> Option<Action> {
        let mut taken = None;
        for list in self.lists() {
            if let Some(index) = list.iter().position(|action| action.id == id) {
                taken = list.remove(index);
            }
        }
        taken
    }

    /// Takes out all other actions for a machine: a call goes to it.
    pub fn skip(&mut self, machine_id: MachineId) {
        for list in self.lists() {
            list.retain(|action| action.target.is_none_or(|target| target.machine_id != machine_id));
        }
    }

    fn lists(&mut self) -> [&mut VecDeque<Action>; 3] {
        [&mut self.urgent, &mut self.others, &mut self.longest]
    }
}
