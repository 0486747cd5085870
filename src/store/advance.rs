//! The one place where an action changes its state.

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::alert::{Advance, Change, HeldReason, State, Target, millis};

use super::StoreError;
use super::rows::to_json;
use super::{audit, kept_action, seal, words};

/// Applies a move and records it; returns false, and does nothing, if the action is not where it was expected.
pub(super) fn apply(tx: &Transaction<'_>, advance: &Advance) -> Result<bool, StoreError> {
    let is_applied = unrecorded(tx, advance)?;
    if is_applied {
        audit::moved(tx, advance)?;
    }
    Ok(is_applied)
}

/// Applies a move that the caller records in the audit.
pub(super) fn unrecorded(tx: &Transaction<'_>, advance: &Advance) -> Result<bool, StoreError> {
    let found: Option<(i64, String)> = tx
        .prepare_cached("SELECT seq, state FROM actions WHERE id = ?1")?
        .query_row([advance.action.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, state)) = found else {
        return Err(StoreError::lost(advance.action));
    };
    if state != advance.expected.as_str() {
        return Ok(false);
    }
    let mut state = advance.expected;
    for change in &advance.changes {
        if change.from != Some(state) || !state.may_become(change.to) {
            let text = format!("action {} cannot go from {state} to {}", advance.action, change.to);
            return Err(StoreError::Statement(text));
        }
        state = change.to;
        write_history(tx, seq, change)?;
    }
    let seal = advance.patch.target.map(|target| seal_with(tx, advance, target)).transpose()?;
    patch(tx, seq, state, advance)?;
    if let Some(seal) = seal {
        tx.prepare_cached("UPDATE actions SET seal = ?2 WHERE seq = ?1")?.execute(params![seq, seal])?;
    }
    Ok(true)
}

/// Returns the seal of an action that gets a target. It must be what was sealed before.
fn seal_with(tx: &Transaction<'_>, advance: &Advance, target: Target) -> Result<[u8; 32], StoreError> {
    let gone = || StoreError::Corrupt(format!("action {} has no alert", advance.action));
    let mut action = kept_action::load(tx, advance.action)?.ok_or_else(gone)?;
    action.target = Some(target);
    seal::of(&action, &words::of(tx, action.id)?)
}

fn write_history(tx: &Transaction<'_>, seq: i64, change: &Change) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO history (action_seq, n, at, from_state, to_state, why, who, facts)
         SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7 FROM history WHERE action_seq = ?1",
    )?
    .execute(params![
        seq,
        millis(change.at),
        change.from.map(State::as_str),
        change.to.as_str(),
        change.why,
        change.who.principal(),
        to_json(&change.facts)?,
    ])?;
    Ok(())
}

fn patch(tx: &Transaction<'_>, seq: i64, state: State, advance: &Advance) -> Result<(), StoreError> {
    let patch = &advance.patch;
    let changed_at = advance.changes.last().map(|change| millis(change.at));
    let machine_action = patch.machine_action.as_ref();
    let superseded_by = patch.superseded_by.as_deref();
    tx.prepare_cached(
        "UPDATE actions SET
             state                 = ?2,
             changed_at            = coalesce(?3, changed_at),
             machine_id            = coalesce(?4, machine_id),
             sha1                  = coalesce(?5, sha1),
             expires_at            = CASE WHEN ?6 THEN coalesce(?7, expires_at) END,
             next_at               = CASE WHEN ?8 THEN coalesce(?9, next_at) END,
             machine_action_id     = coalesce(?10, machine_action_id),
             machine_action_status = coalesce(?11, machine_action_status),
             machine_action_since  = coalesce(?12, machine_action_since),
             empty_reads           = coalesce(?13, empty_reads),
             empty_read_at         = coalesce(?14, empty_read_at),
             held_reason           = CASE WHEN ?15 THEN coalesce(?16, held_reason) END,
             superseded_by_id        = coalesce(?17, superseded_by_id),
             superseded_by_requestor = coalesce(?18, superseded_by_requestor),
             superseded_by_status    = coalesce(?19, superseded_by_status)
         WHERE seq = ?1",
    )?
    .execute(params![
        seq,
        state.as_str(),
        changed_at,
        patch.target.map(|target| target.machine_id.to_string()),
        patch.target.map(|target| target.sha1.to_string()),
        may_expire(state),
        patch.expires_at.map(millis),
        is_looked_at(state),
        patch.next_at.map(millis),
        machine_action.map(|it| it.id.as_str()),
        machine_action.map(|it| it.status.as_str()),
        machine_action.map(|it| millis(it.since)),
        patch.empty_reads.map(|(count, _)| count),
        patch.empty_reads.map(|(_, at)| millis(at)),
        state == State::Held,
        patch.held_reason.map(HeldReason::as_str),
        superseded_by.map(|it| it.machine_action_id.as_str()),
        superseded_by.and_then(|it| it.requestor.as_deref()),
        superseded_by.map(|it| it.status.as_str()),
    ])?;
    Ok(())
}

/// Says whether an action in this state may still grow too old.
fn may_expire(state: State) -> bool {
    matches!(state, State::Resolving | State::Queued | State::Sending | State::Uncertain | State::Held)
}

/// Says whether dispatch comes back to an action in this state by time.
fn is_looked_at(state: State) -> bool {
    matches!(state, State::Resolving | State::Queued | State::Uncertain | State::Submitted)
}
