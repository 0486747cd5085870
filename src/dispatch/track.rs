//! Follows a submitted action to its end, as Defender tells it. Pure.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{
    Action, Advance, Change, MachineAction, MachineActionRef, Patch, State, Who, after, end_of,
};

/// Defender's records by their ids.
pub(super) type Records<'a> = HashMap<&'a str, &'a MachineAction>;

/// What Defender's list has under the id of an action's machine action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed<'a> {
    /// Its record.
    Ours(&'a MachineAction),
    /// One that names another device or file: it says nothing of this action, and is not ours to cancel.
    Another(&'a MachineAction),
    /// Nothing.
    Nothing,
}

impl<'a> Listed<'a> {
    /// Looks an action up.
    pub(super) fn of(action: &Action, records: &Records<'a>) -> Self {
        let id = action.machine_action.as_ref().map(|known| known.id.as_str());
        match id.and_then(|id| records.get(id)) {
            Some(record) if action.target.is_some_and(|target| record.is_about_another(target)) => {
                Self::Another(record)
            }
            Some(record) => Self::Ours(record),
            None => Self::Nothing,
        }
    }

    /// Returns the record if it is ours.
    pub(super) fn ours(self) -> Option<&'a MachineAction> {
        match self {
            Self::Ours(record) => Some(record),
            Self::Another(_) | Self::Nothing => None,
        }
    }
}

/// Returns the move of a submitted action, given Defender's record of it if the list had one that is about it.
///
/// A record that is missing changes nothing: a new one takes seconds to appear, and reads of known ids have
/// failed for minutes.
pub fn look_again(action: &Action, record: Option<&MachineAction>, now: Timestamp) -> Advance {
    let since = action.machine_action.as_ref().map_or(now, |known| known.since);
    let next_at = after(now, pace(now.duration_since(since)));
    let mut patch = Patch { next_at: Some(next_at), ..Patch::default() };
    let mut changes = Vec::new();
    if let Some((known, record)) = action.machine_action.as_ref().zip(record) {
        patch.machine_action = Some(MachineActionRef { status: record.status.clone(), ..known.clone() });
        if let Some(to) = end_of(&record.status) {
            let took = now.duration_since(known.since).as_secs();
            let why = format!("Defender reports {} after {took} s", record.status);
            let from = Some(State::Submitted);
            changes.push(Change { at: now, from, to, why, who: Who::Defender, facts: Vec::new() });
        }
    }
    Advance { action: action.id, expected: State::Submitted, changes, patch }
}

/// How long until the next look at an action of this age: most end within half a minute, offline devices take
/// days.
fn pace(age: SignedDuration) -> SignedDuration {
    match age.as_secs() {
        ..120 => SignedDuration::from_secs(5),
        120..600 => SignedDuration::from_secs(15),
        600..3_600 => SignedDuration::from_secs(60),
        _ => SignedDuration::from_secs(300),
    }
}
