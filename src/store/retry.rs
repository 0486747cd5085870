//! Has an action tried again that has come to nothing: as a new action, which names the one before.
//!
//! Only what is surely over is tried again, so no two machine actions of one alert can act on one target. The new action has
//! a comment of its own, made of the id of the one before: its lost answer is found again, also where a restore from a backup
//! has lost the retry itself.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::alert::{
    Action, ActionId, Alert, EntityPair, FileEntity, MachineEntity, Mode, Requested, SourceName, State, Who,
};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::batch::Batch;
use super::new_action::NewAction;
use super::rows::{Columns, new_uuid};
use super::{Store, StoreError, kept_action, restore, seal, words};

/// How often one device and file may be tried because of one alert, the first try among them.
const TRIES_MAX: u32 = 10;

/// The wish to have an action tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// The action.
    pub action: ActionId,
    /// Why, in one line.
    pub reason: String,
    /// Who wants it.
    pub who: Who,
    /// How far whoever wants it may go at most.
    pub mode_max: Option<Mode>,
    /// The only source whose actions they may have tried again, if there is one.
    pub source: Option<SourceName>,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// This action is another try.
    New(ActionId),
    /// It was tried again before, by this action.
    Already(ActionId),
    /// It is not tried again, for this reason.
    Not(String),
    /// There is no such action.
    Missing,
}

impl fmt::Display for Retried {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(id) => write!(f, "tried again as {id}"),
            Self::Already(id) => write!(f, "was tried again as {id}"),
            Self::Not(why) => write!(f, "not tried again: {why}"),
            Self::Missing => f.write_str("no such action"),
        }
    }
}

impl Store {
    /// Has an action tried again.
    pub async fn retry(&self, retry: Retry) -> Result<Retried, StoreError> {
        let retried = self.writer.write(move |tx| take(tx, &retry)).await?;
        if matches!(retried, Retried::New(_)) {
            self.tell_of_new(1);
        }
        Ok(retried)
    }
}

fn take(tx: &Transaction<'_>, retry: &Retry) -> Result<Retried, StoreError> {
    let is_theirs = |action: &Action| retry.source.as_ref().is_none_or(|source| *source == action.source);
    let Some(before) = kept_action::load(tx, retry.action)?.filter(is_theirs) else {
        return Ok(Retried::Missing);
    };
    if let Some(id) = retried_by(tx, before.id)? {
        return Ok(Retried::Already(id));
    }
    match objection(tx, &before)? {
        Some(why) => Ok(Retried::Not(why)),
        None => Ok(Retried::New(keep(tx, &before, retry)?)),
    }
}

/// Says why an action is not tried again, if it is not.
fn objection(tx: &Transaction<'_>, before: &Action) -> Result<Option<String>, StoreError> {
    if !has_come_to_nothing(before.state) {
        let state = before.state;
        return Ok(Some(format!(
            "It is {state}; only what was rejected, has failed, timed out or expired, or was cancelled is tried again."
        )));
    }
    if let Some(open) = before.machine_action.as_ref().filter(|it| it.may_still_act()) {
        let (id, status) = (&open.id, &open.status);
        return Ok(Some(format!(
            "Defender has named no end of its machine action {id}, last seen as {status}: it may still act."
        )));
    }
    // Nobody has looked at its seal since it was over, and what a bit has flipped in must not name another device.
    let kept: Option<Vec<u8>> = tx
        .prepare_cached("SELECT seal FROM actions WHERE id = ?1")?
        .query_row([before.id.to_string()], |row| row.get(0))?;
    if !seal::is_of(before, &words::of(tx, before.id)?, kept.as_deref())? {
        return Ok(Some("Its record is older than seals, or is not what was sealed.".to_owned()));
    }
    if tries(tx, before)? >= TRIES_MAX {
        return Ok(Some(format!(
            "It is try {TRIES_MAX} already. Find out why nothing comes of it; what is asked for under another alert id is new."
        )));
    }
    let open = open_on_target(tx, before)?;
    Ok(open.map(|id| format!("Action {id} for the same device and file is not over.")))
}

/// Returns which try of its alert, device and file an action is, from 1. No more than the limit are counted.
fn tries(tx: &Transaction<'_>, action: &Action) -> Result<u32, StoreError> {
    let mut statement = tx.prepare_cached(
        "WITH RECURSIVE tries (id, n) AS (
             SELECT ?1, 1
             UNION ALL
             SELECT a.retry_of, n + 1 FROM tries t JOIN actions a ON a.id = t.id WHERE a.retry_of IS NOT NULL AND n < ?2)
         SELECT max(n) FROM tries",
    )?;
    Ok(statement.query_row(params![action.id.to_string(), TRIES_MAX], |row| row.get(0))?)
}

/// Says whether nothing came of an action, and nobody has decided that nothing should: a person's or policy's no stands.
fn has_come_to_nothing(state: State) -> bool {
    match state {
        State::Failed | State::Rejected | State::TimedOut | State::Cancelled | State::Expired => true,
        State::Accepted
        | State::Resolving
        | State::Decided
        | State::Queued
        | State::Sending
        | State::Submitted
        | State::Uncertain
        | State::Held
        | State::Succeeded
        | State::Denied
        | State::Shadowed
        | State::Superseded => false,
    }
}

/// Finds another action for the same target that is not over.
fn open_on_target(tx: &Transaction<'_>, before: &Action) -> Result<Option<ActionId>, StoreError> {
    let Some(target) = before.target else {
        return Ok(None);
    };
    let mut statement = tx.prepare_cached(
        "SELECT id, state FROM actions INDEXED BY actions_by_machine WHERE machine_id = ?1 AND sha1 = ?2",
    )?;
    let mut found = statement.query([target.machine_id.to_string(), target.sha1.to_string()])?;
    while let Some(row) = found.next()? {
        let columns = Columns(row);
        if !columns.parsed::<State>("state")?.is_final() {
            return Ok(Some(columns.parsed("id")?));
        }
    }
    Ok(None)
}

/// Writes the new action. All is asked afresh of it: device, file, policy, persons, the budget.
fn keep(tx: &Transaction<'_>, before: &Action, retry: &Retry) -> Result<ActionId, StoreError> {
    let requested = Requested {
        by: retry.who.clone(),
        mode_max: [before.mode_max(), retry.mode_max].into_iter().flatten().min(),
        note: Some(retry.reason.clone()),
    };
    let batch = Batch {
        delivery_id: before.delivery_id,
        source: &before.source,
        alerts: &[],
        refused: &[],
        references: &[],
        notices: &[],
        who: &retry.who,
        requested: Some(&requested),
        now: retry.now,
    };
    let alert = Alert {
        alert_id: before.alert_id.clone(),
        severity: before.severity,
        title: before.title.clone(),
        occurred_at: before.occurred_at,
        url: before.url.clone(),
        targets: Vec::new(),
    };
    let alert_seq = tx
        .prepare_cached("SELECT alert_seq FROM actions WHERE id = ?1")?
        .query_row([before.id.to_string()], |row| row.get(0))?;
    let (id, pair) = (ActionId::new(new_uuid(retry.now)), pair(before));
    let action =
        NewAction { id, alert_seq, batch: &batch, alert: &alert, pair: &pair, retry_of: Some(before.id) };
    let seq = action.keep(tx)?.ok_or_else(|| StoreError::lost(id))?;
    action.first_history_row(tx, seq)?;
    let done = Administered {
        action: Some(id),
        to: Some(format!("action {}", before.id)),
        reason: Some(retry.reason.clone()),
        before: Some(before.state.to_string()),
        after: requested.mode_max.map(|mode| format!("mode {mode} at most")),
        ..Administered::new(&retry.who, Act::RetryAction, retry.now)
    };
    audit::administered(tx, &done)?;
    Ok(id)
}

/// Returns device and file as the sender named them; where it is known what that meant, another try means the same.
fn pair(before: &Action) -> EntityPair {
    let pair = before.pair.clone();
    match before.target {
        None => pair,
        Some(target) => EntityPair {
            machine: MachineEntity { id: Some(target.machine_id), ..pair.machine },
            file: FileEntity { sha1: Some(target.sha1), ..pair.file },
            candidates: Vec::new(),
            found_at: pair.found_at,
        },
    }
}

/// Returns the action that is another try of this one.
pub(super) fn retried_by(db: &Connection, action: ActionId) -> Result<Option<ActionId>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM actions WHERE retry_of = ?1")?;
    let mut found = statement.query([action.to_string()])?;
    found.next()?.map(|row| Columns(row).parsed("id")).transpose()
}

/// Has Defender's list asked before another try is sent; says whether it is. A call of the one before may have arrived after
/// it was taken for lost, and its machine action acts then.
pub(super) fn ask_first(tx: &Transaction<'_>, action: &Action, now: Timestamp) -> Result<bool, StoreError> {
    let Some(before) = action.retry_of else {
        return Ok(false);
    };
    let is_asked: bool = tx
        .prepare_cached("SELECT intent_at IS NOT NULL FROM actions WHERE id = ?1")?
        .query_row([action.id.to_string()], |row| row.get(0))?;
    if is_asked {
        return Ok(false);
    }
    let first_call: Option<i64> = tx
        .prepare_cached("SELECT coalesce(first_intent_at, accepted_at) FROM actions WHERE id = ?1")?
        .query_row(params![before.to_string()], |row| row.get(0))
        .optional()?;
    let since = first_call.map_or(action.accepted_at, crate::alert::from_millis);
    let why =
        "it is another try; Defender's list will tell whether a call of the one before has arrived after all";
    restore::look(tx, action, (why, vec![format!("retry of action: {before}")]), since, now)?;
    Ok(true)
}
