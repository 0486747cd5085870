//! What dispatch asks for: actions that are due for their next step.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Params, Transaction, params};

use crate::alert::{
    Action, ActionId, Advance, Change, MachineActionId, Patch, State, Unsettled, Who, before, from_millis,
    millis,
};

use super::kept_action::{self, ACTION};
use super::rows::Columns;
use super::{Store, StoreError};

impl Store {
    /// Ends actions whose time has passed.
    pub async fn expire_due(&self, now: Timestamp) -> Result<usize, StoreError> {
        let due = self.readers.read(move |db| expired(db, now)).await?;
        let count = due.len();
        if count > 0 {
            self.advance(due).await?;
        }
        Ok(count)
    }
}

/// How many actions expire in one transaction.
const EXPIRE_MAX: u32 = 500;

fn select<T>(
    db: &Connection,
    condition: &str,
    params: impl Params,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT {ACTION} FROM {condition}"))?;
    let mut found = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// Reads an action that an index named for its state. A damaged index may name any row: dispatch would take it up for ever.
pub(super) fn action_in(state: State, row: &rusqlite::Row<'_>) -> Result<Action, StoreError> {
    let action = kept_action::read(row)?;
    if action.state == state {
        return Ok(action);
    }
    Err(StoreError::Corrupt(format!(
        "action {} is {}, and an index has it as {state}",
        action.id, action.state
    )))
}

/// Returns accepted actions, the most urgent first.
pub(super) fn undecided(db: &Connection, limit: u32) -> Result<Vec<Action>, StoreError> {
    select(
        db,
        "actions a INDEXED BY actions_undecided JOIN alerts l ON l.seq = a.alert_seq
         WHERE a.state = 'accepted' ORDER BY a.severity_rank DESC, a.seq LIMIT ?1",
        [limit],
        |row| action_in(State::Accepted, row),
    )
}

/// Returns actions whose device or file is being looked for, the most urgent first.
pub(super) fn resolving(db: &Connection, now: Timestamp, limit: u32) -> Result<Vec<Action>, StoreError> {
    let condition = "actions a INDEXED BY actions_resolving JOIN alerts l ON l.seq = a.alert_seq
         WHERE a.state = 'resolving' AND a.next_at <= ?1
         ORDER BY a.severity_rank DESC, a.accepted_at, a.seq LIMIT ?2";
    select(db, condition, params![millis(now), limit], |row| action_in(State::Resolving, row))
}

/// Returns uncertain actions that are due for a look, oldest first.
pub(super) fn unsettled(db: &Connection, now: Timestamp, limit: u32) -> Result<Vec<Unsettled>, StoreError> {
    let condition = "actions a INDEXED BY actions_due JOIN alerts l ON l.seq = a.alert_seq
         WHERE a.state = 'uncertain' AND a.next_at <= ?1 ORDER BY a.next_at LIMIT ?2";
    select(db, condition, params![millis(now), limit], |row| {
        let columns = Columns(row);
        let action = action_in(State::Uncertain, row)?;
        let outcomes = outcomes(db, columns.raw("seq")?)?;
        let may_have_arrived =
            |outcome: &Option<String>| matches!(outcome.as_deref(), None | Some("unknown" | "accepted"));
        let crashes = outcomes.iter().take_while(|outcome| outcome.is_none()).count();
        Ok(Unsettled {
            intent_at: columns.maybe_time("intent_at")?.unwrap_or(action.changed_at),
            first_intent_at: columns.maybe_time("first_intent_at")?.unwrap_or(action.accepted_at),
            empty_reads: columns.raw("empty_reads")?,
            empty_read_at: columns.maybe_time("empty_read_at")?,
            is_surely_unmade: !outcomes.iter().any(may_have_arrived),
            crashes: u32::try_from(crashes).unwrap_or(u32::MAX),
            taken: taken(db, &action)?,
            action,
        })
    })
}

/// Returns how an action's calls ended, the last first; none where the service ended instead.
fn outcomes(db: &Connection, seq: i64) -> Result<Vec<Option<String>>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT outcome FROM attempts WHERE action_seq = ?1 ORDER BY n DESC")?;
    let outcomes = statement.query_map([seq], |row| row.get(0))?;
    Ok(outcomes.collect::<Result<_, _>>()?)
}

/// Returns the machine actions that other actions have for the same device and file.
fn taken(db: &Connection, action: &Action) -> Result<Vec<MachineActionId>, StoreError> {
    let Some(target) = action.target else {
        return Ok(Vec::new());
    };
    let mut statement = db.prepare_cached(
        "SELECT machine_action_id FROM actions INDEXED BY actions_sent
         WHERE machine_id = ?1 AND sha1 = ?2 AND machine_action_id IS NOT NULL AND id <> ?3",
    )?;
    let (machine_id, sha1) = (target.machine_id.to_string(), target.sha1.to_string());
    let mut found = statement.query(params![machine_id, sha1, action.id.to_string()])?;
    let mut taken = Vec::new();
    while let Some(row) = found.next()? {
        taken.push(Columns(row).parsed("machine_action_id")?);
    }
    Ok(taken)
}

/// Returns all uncertain actions.
pub(super) fn uncertain(db: &Connection) -> Result<Vec<ActionId>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM actions WHERE state = 'uncertain'")?;
    let mut found = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(Columns(row).parsed("id")?);
    }
    Ok(ids)
}

/// Returns since when the oldest uncertain action is uncertain.
pub(super) fn uncertain_since(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = db.prepare_cached("SELECT min(changed_at) FROM actions WHERE state = 'uncertain'")?;
    let at: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(at.map(from_millis))
}

/// Returns submitted actions that are due for a look, the longest due first.
pub(super) fn submitted(db: &Connection, now: Timestamp, limit: u32) -> Result<Vec<Action>, StoreError> {
    let condition = "actions a INDEXED BY actions_due JOIN alerts l ON l.seq = a.alert_seq
         WHERE a.state = 'submitted' AND a.next_at <= ?1 ORDER BY a.next_at LIMIT ?2";
    select(db, condition, params![millis(now), limit], |row| action_in(State::Submitted, row))
}

/// Returns the moves that end actions whose time has passed.
///
/// What may still be sent has its last millisecond for that, as policy says too.
pub(super) fn expired(db: &Connection, now: Timestamp) -> Result<Vec<Advance>, StoreError> {
    let past = before(now, SignedDuration::from_millis(1));
    let mut advances = Vec::new();
    for (state, until, why) in [
        (State::Resolving, past, "device and file could not be looked up in time"),
        (State::Queued, past, "the alert grew too old while it waited to be sent"),
        (State::Held, now, "nobody decided in time"),
    ] {
        let condition = format!(
            "actions a INDEXED BY actions_expiring JOIN alerts l ON l.seq = a.alert_seq
             WHERE a.state = '{state}' AND a.expires_at <= ?1 LIMIT ?2"
        );
        let actions =
            select(db, &condition, params![millis(until), EXPIRE_MAX], |row| action_in(state, row))?;
        advances.extend(actions.iter().map(|action| expire(action, why, now)));
    }
    Ok(advances)
}

fn expire(action: &Action, why: &str, now: Timestamp) -> Advance {
    let change = Change {
        at: now,
        from: Some(action.state),
        to: State::Expired,
        why: why.to_owned(),
        who: Who::Bridge,
        facts: Vec::new(),
    };
    let changes = vec![change];
    Advance { action: action.id, expected: action.state, changes, patch: Patch::default() }
}

/// Returns when the next unfinished action becomes due for anything.
pub(super) fn next_due(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT min(at) FROM (
             SELECT min(next_at) AS at FROM actions INDEXED BY actions_due
             WHERE state = 'resolving' AND next_at IS NOT NULL
             UNION ALL SELECT min(next_at) FROM actions INDEXED BY actions_due
             WHERE state = 'queued' AND next_at IS NOT NULL
             UNION ALL SELECT min(next_at) FROM actions INDEXED BY actions_due
             WHERE state = 'uncertain' AND next_at IS NOT NULL
             UNION ALL SELECT min(next_at) FROM actions INDEXED BY actions_due
             WHERE state = 'submitted' AND next_at IS NOT NULL
             UNION ALL SELECT min(expires_at) + 1 FROM actions INDEXED BY actions_expiring
             WHERE state = 'resolving' AND expires_at IS NOT NULL
             UNION ALL SELECT min(expires_at) + 1 FROM actions INDEXED BY actions_expiring
             WHERE state = 'queued' AND expires_at IS NOT NULL
             UNION ALL SELECT min(expires_at) FROM actions INDEXED BY actions_expiring
             WHERE state = 'held' AND expires_at IS NOT NULL)",
    )?;
    let at: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(at.map(from_millis))
}

/// Writes a page and leaves nothing behind.
pub(super) fn probe(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("INSERT INTO calls (seq, at) VALUES (-1, 0)", [])?;
    tx.execute("DELETE FROM calls WHERE seq = -1", [])?;
    Ok(())
}
