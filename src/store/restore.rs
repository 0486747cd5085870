//! Takes up a database that is a backup: what may have been sent after the backup is looked up before any call.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Transaction, params};

use crate::alert::{Action, Advance, Api, Change, Moment, Patch, State, Who, after, from_millis, millis};

use super::marks::Mark;
use super::{Store, StoreError, advance, audit, calls};

/// How far a sender's clock may be ahead (policy's guard allows as much).
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// How long after a restore an action is asked for first whose alert's time does not prove that the alert is new. A playbook that
/// asks again names the time of its asking, and an alert may have none.
const ASKED_AGAIN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A restore of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Which one it was, from 1.
    n: i64,
    /// When the database was taken up.
    pub at: Timestamp,
    /// When the backup was made that it was restored from.
    pub from: Timestamp,
    /// Whether the calls of the hour before are counted.
    pub calls_counted: bool,
}

impl Store {
    /// Takes up a database that was restored from a backup since the last start; tells of it.
    pub async fn take_up_restored(&self, now: Timestamp) -> Result<Option<Restored>, StoreError> {
        self.writer.write(move |tx| take_up(tx, now)).await
    }

    /// Returns when the database was restored last.
    pub async fn restored(&self) -> Result<Option<Restored>, StoreError> {
        self.readers.read(last).await
    }

    /// Counts calls that the backup does not know, as Defender's list has them.
    pub async fn count_calls(&self, restored: Restored, made: Vec<Timestamp>) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                let moment = |at| (Api::Quarantine, Moment { at, steady: None });
                let made: Vec<_> = made.iter().copied().map(moment).collect();
                calls::record(tx, &made)?;
                Mark::CallsCounted.write(tx, restored.n)
            })
            .await
    }
}

fn take_up(tx: &Transaction<'_>, now: Timestamp) -> Result<Option<Restored>, StoreError> {
    let Some(backup_at) = Mark::BackupAt.read(tx)? else {
        return Ok(None);
    };
    let n = Mark::Restores.read(tx)?.unwrap_or(0).saturating_add(1);
    Mark::Restores.write(tx, n)?;
    Mark::RestoredAt.write(tx, millis(now))?;
    Mark::RestoredFrom.write(tx, backup_at)?;
    Mark::BackupAt.clear(tx)?;
    audit::restored(tx, from_millis(backup_at), now)?;
    last(tx)
}

fn last(db: &Connection) -> Result<Option<Restored>, StoreError> {
    let Some(n) = Mark::Restores.read(db)? else {
        return Ok(None);
    };
    let at = Mark::RestoredAt.read(db)?.zip(Mark::RestoredFrom.read(db)?);
    let (at, from) = at.ok_or_else(|| StoreError::Corrupt("a restore without its time".to_owned()))?;
    let calls_counted = Mark::CallsCounted.read(db)? == Some(n);
    Ok(Some(Restored { n, at: from_millis(at), from: from_millis(from), calls_counted }))
}

/// Has Defender's list asked first, if the action may have been sent between the backup and the restore; says whether it is.
///
/// That may be so if it was accepted before the restore, and also if its alert happened before it: its sender may have
/// delivered it then already. What was asked for by the API may have been asked for then, whatever time it names now.
pub(super) fn ask_first(tx: &Transaction<'_>, action: &Action, now: Timestamp) -> Result<bool, StoreError> {
    let Some(restored) = last(tx)? else {
        return Ok(false);
    };
    if is_new_since(action, restored) || was_asked(tx, action, restored)? {
        return Ok(false);
    }
    let why = "the database was restored from a backup; Defender's list will tell whether it was sent since";
    let facts = vec![format!("backup of {:.0}", restored.from), format!("restored {:.0}", restored.at)];
    // Its machine action is not older than its acceptance, here or in what was lost.
    let since = action.accepted_at.min(restored.from);
    look(tx, action, (why, facts), since, now)?;
    tx.prepare_cached("UPDATE actions SET looked_after_restore = ?2 WHERE id = ?1")?
        .execute(params![action.id.to_string(), restored.n])?;
    Ok(true)
}

/// Says whether an action's alert has surely not come before the restore.
fn is_new_since(action: &Action, restored: Restored) -> bool {
    match action.occurred_at.filter(|_| action.requested.is_none()) {
        Some(at) => at.min(action.accepted_at) > after(restored.at, CLOCK_SKEW),
        None => action.accepted_at > after(restored.at, ASKED_AGAIN),
    }
}

/// Has a queued action looked up in Defender's list, since then, instead of being sent.
pub(super) fn look(
    tx: &Transaction<'_>,
    action: &Action,
    (why, facts): (&str, Vec<String>),
    since: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let change = Change {
        at: now,
        from: Some(State::Queued),
        to: State::Uncertain,
        why: why.to_owned(),
        who: Who::Bridge,
        facts,
    };
    let patch = Patch { next_at: Some(now), ..Patch::default() };
    let advance = Advance { action: action.id, expected: State::Queued, changes: vec![change], patch };
    advance::apply(tx, &advance)?;
    tx.prepare_cached(
        "UPDATE actions SET intent_at = ?2, empty_reads = 0, empty_read_at = NULL,
             first_intent_at = min(coalesce(first_intent_at, ?3), ?3)
         WHERE id = ?1",
    )?
    .execute(params![action.id.to_string(), millis(now), millis(since)])?;
    Ok(())
}

fn was_asked(tx: &Transaction<'_>, action: &Action, restored: Restored) -> Result<bool, StoreError> {
    let mut statement = tx.prepare_cached("SELECT looked_after_restore FROM actions WHERE id = ?1")?;
    let looked: i64 = statement.query_row([action.id.to_string()], |row| row.get(0))?;
    Ok(looked >= restored.n)
}
