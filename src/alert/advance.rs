//! A move of an action from state to state, with the facts that change along with it.

use jiff::Timestamp;

use super::action::Change;
use super::entity::Target;
use super::ids::ActionId;
use super::machine_action::{MachineActionRef, SupersededBy};
use super::state::State;
use super::unresolved::HeldReason;

/// A move of one action, through one or more states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Which action.
    pub action: ActionId,
    /// The state that it must still be in.
    pub expected: State,
    /// The moves, in order; none if only the facts below change.
    pub changes: Vec<Change>,
    /// What else changes.
    pub patch: Patch,
}

/// What changes with a move besides the state. `None` leaves a fact as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// Device and file, once resolved.
    pub target: Option<Target>,
    /// Why it is held, where that is because device or file are not known. It ends with the hold anyway.
    pub held_reason: Option<HeldReason>,
    /// When its wait ends. It ends with the wait anyway: once Defender has the action or it is over, nothing expires.
    pub expires_at: Option<Timestamp>,
    /// When to look at it next. States in which nobody looks have no such time.
    pub next_at: Option<Timestamp>,
    /// Defender's record.
    pub machine_action: Option<MachineActionRef>,
    /// Somebody else's machine action that does the same.
    pub superseded_by: Option<Box<SupersededBy>>,
    /// How often in a row Defender's list did not have it, and when that was last read.
    pub empty_reads: Option<(u32, Timestamp)>,
}
