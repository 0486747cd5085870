//! Completes a held action: a person says which device or file it is, and it is looked for and decided again.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{
    Action, ActionId, Advance, Change, Completion, MachineId, Patch, Sha1, State, Who, after, millis,
};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::{Store, StoreError, advance, kept_action, seal};

/// What a person adds to a held action.
#[derive(Debug, Clone)]
pub struct Complete {
    /// The action.
    pub action: ActionId,
    /// Which device it is.
    pub machine_id: Option<MachineId>,
    /// Which file it is.
    pub sha1: Option<Sha1>,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// It is looked for and decided again.
    Resumed,
    /// The same was said before, and the action has moved on.
    Already,
    /// The action does not wait for this: it is in this state, or device and file are known.
    NotHeld(State),
    /// The alert itself gives the SHA1, and another was said.
    Sha1Given,
    /// There is no such action.
    Missing,
}

impl fmt::Display for Completed {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resumed => f.write_str("looked for again"),
            Self::Already => f.write_str("was said before"),
            Self::NotHeld(state) => write!(f, "refused: it does not wait for this, {state}"),
            Self::Sha1Given => f.write_str("refused: the alert gives another SHA1"),
            Self::Missing => f.write_str("no such action"),
        }
    }
}

impl Store {
    /// Completes a held action by what a person says.
    pub async fn complete(&self, complete: Complete) -> Result<Completed, StoreError> {
        let completed = self.writer.write(move |tx| self::complete(tx, &complete)).await?;
        if completed == Completed::Resumed {
            self.work_arrived.notify_one();
        }
        Ok(completed)
    }
}

/// Completes an action, if it is held because device or file are not known.
fn complete(tx: &Transaction<'_>, complete: &Complete) -> Result<Completed, StoreError> {
    let Some(action) = kept_action::load(tx, complete.action)? else {
        return Ok(Completed::Missing);
    };
    if action.state != State::Held || action.held_reason.is_none() {
        return Ok(if says_the_same(&action, complete) {
            Completed::Already
        } else {
            Completed::NotHeld(action.state)
        });
    }
    if action.pair.file.sha1.is_some_and(|given| complete.sha1.is_some_and(|sha1| sha1 != given)) {
        return Ok(Completed::Sha1Given);
    }
    keep(tx, complete)?;
    seal_completed(tx, &action, complete)?;
    advance::apply(tx, &resume(&action, complete))?;
    record(tx, &action, complete)?;
    Ok(Completed::Resumed)
}

fn says_the_same(action: &Action, complete: &Complete) -> bool {
    action.completion.as_ref().is_some_and(|before| {
        let same_device = complete.machine_id.is_none() || before.machine_id == complete.machine_id;
        let same_file = complete.sha1.is_none() || before.sha1 == complete.sha1;
        before.by.person() == complete.who.person() && same_device && same_file
    })
}

/// Writes what was said. What is not said again stays as it was said before.
fn keep(tx: &Transaction<'_>, complete: &Complete) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE actions SET completed_machine_id = coalesce(?2, completed_machine_id),
             completed_sha1 = coalesce(?3, completed_sha1), completed_by = ?4, completed_at = ?5
         WHERE id = ?1",
    )?
    .execute(params![
        complete.action.to_string(),
        complete.machine_id.map(|id| id.to_string()),
        complete.sha1.map(|sha1| sha1.to_string()),
        complete.who.principal(),
        millis(complete.now),
    ])?;
    Ok(())
}

/// Seals the action with what was said.
fn seal_completed(tx: &Transaction<'_>, action: &Action, complete: &Complete) -> Result<(), StoreError> {
    let before = action.completion.as_ref();
    let completion = Completion {
        machine_id: complete.machine_id.or(before.and_then(|before| before.machine_id)),
        sha1: complete.sha1.or(before.and_then(|before| before.sha1)),
        by: complete.who.clone(),
        at: complete.now,
    };
    seal::write(tx, &Action { completion: Some(completion), ..action.clone() })
}

fn record(tx: &Transaction<'_>, action: &Action, complete: &Complete) -> Result<(), StoreError> {
    let told = |machine_id: Option<MachineId>, sha1: Option<Sha1>| {
        let machine = machine_id.map(|id| format!("machine {id}"));
        let file = sha1.map(|sha1| format!("SHA1 {sha1}"));
        let told: Vec<_> = machine.into_iter().chain(file).collect();
        told.join(", ")
    };
    let before = action.completion.as_ref();
    let done = Administered {
        action: Some(complete.action),
        reason: Some(complete.reason.clone()),
        before: before.map(|before| told(before.machine_id, before.sha1)),
        after: Some(told(complete.machine_id, complete.sha1)),
        ..Administered::new(&complete.who, Act::CompleteAction, complete.now)
    };
    audit::administered(tx, &done)
}

fn resume(action: &Action, complete: &Complete) -> Advance {
    let machine = complete.machine_id.map(|id| format!("machine: {id}"));
    let file = complete.sha1.map(|sha1| format!("file: SHA1 {sha1}"));
    let change = Change {
        at: complete.now,
        from: Some(State::Held),
        to: State::Resolving,
        why: complete.reason.clone(),
        who: complete.who.clone(),
        facts: machine.into_iter().chain(file).collect(),
    };
    let patch = Patch {
        next_at: Some(complete.now),
        expires_at: Some(after(complete.now, action.hold_limit(complete.now))),
        ..Patch::default()
    };
    Advance { action: action.id, expected: State::Held, changes: vec![change], patch }
}
