//! What people and playbooks read back.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter, types::Value};

use crate::alert::{
    Action, ActionId, AlertId, Cancellation, Change, DeliveryId, Fetch, HeldReason, MachineId, RefusedAlert,
    Sha1, SourceName, State, SupersededBy, Traceparent, millis,
};

use super::approvals::{self, Hold};
use super::cancel;
use super::fetches;
use super::kept_action::{self, ACTION, ACTIONS};
use super::retry;
use super::rows::Columns;
use super::undo::{self, UndoMark};
use super::words::{self, KeptWord};
use super::{Store, StoreError};

/// An action with all that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRecord {
    /// The action.
    pub action: Action,
    /// Its changes of state, oldest first.
    pub history: Vec<Change>,
    /// Its calls of Defender, oldest first.
    pub attempts: Vec<Attempt>,
    /// Who wants it cancelled, if anybody does.
    pub cancellation: Option<Cancellation>,
    /// The guards that hold it.
    pub holds: Vec<Hold>,
    /// What persons have said about it, oldest first.
    pub words: Vec<KeptWord>,
    /// The mark that says that what it did was undone, if there is one.
    pub undo_mark: Option<UndoMark>,
    /// The other actions that have its machine action.
    pub shared_with: Vec<ActionId>,
    /// Somebody else's machine action that does the same.
    pub superseded_by: Option<SupersededBy>,
    /// How far Defender's list was read for it, while it is uncertain.
    pub unread: Option<Unread>,
    /// The place in a trace of its own of whoever brought it.
    pub traceparent: Option<Traceparent>,
    /// The action that is another try of this one.
    pub retried_by: Option<ActionId>,
    /// The action on the same device whose call has no known outcome yet, while this one is queued.
    pub blocked_by: Option<ActionId>,
}

/// How far Defender's list was read for an action whose call has an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Since when the outcome is unknown.
    pub since: Timestamp,
    /// How often in a row the list did not have it.
    pub empty_reads: u32,
    /// When that was last so.
    pub empty_read_at: Option<Timestamp>,
}

/// One call of Defender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub n: u32,
    /// When its intent was on disk.
    pub intent_at: Timestamp,
    /// When it ended, if that is known.
    pub ended_at: Option<Timestamp>,
    /// How it ended, if that is known.
    pub outcome: Option<String>,
    /// HTTP status of the answer.
    pub http_status: Option<u16>,
    /// Defender's error code.
    pub code: Option<String>,
    /// Defender's message, or what went wrong.
    pub message: Option<String>,
    /// Defender's correlation id.
    pub correlation_id: Option<String>,
}

/// Which actions to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionFilter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those that are held for this reason.
    pub held_reason: Option<HeldReason>,
    /// Only those of this source.
    pub source: Option<SourceName>,
    /// Only those of this alert id.
    pub alert_id: Option<AlertId>,
    /// Only those for this device, once that is known.
    pub machine_id: Option<MachineId>,
    /// Only those for this file, once that is known.
    pub sha1: Option<Sha1>,
    /// Only those that were accepted then or later.
    pub since: Option<Timestamp>,
    /// Only those that were accepted before.
    pub until: Option<Timestamp>,
    /// Only those older than this place, as an earlier page gave it.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// A page of actions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionPage {
    /// The actions with all that happened to them.
    pub actions: Vec<ActionRecord>,
    /// Where the next page begins, if there is one.
    pub next: Option<i64>,
}

/// A delivery as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Our id.
    pub id: DeliveryId,
    /// Who sent it.
    pub source: SourceName,
    /// What tells whether it is known: the sender's id if that is signed, else the digest of the body.
    pub delivery_key: String,
    /// Which key signed it.
    pub key_id: String,
    /// When the sender signed it, if it signs a time.
    pub signed_at: Option<Timestamp>,
    /// When it came.
    pub received_at: Timestamp,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Whether any of it became actions.
    pub outcome: String,
    /// Ids of its alerts that became actions.
    pub alert_ids: Vec<String>,
    /// What could not become actions, and why.
    pub refused: Vec<RefusedAlert>,
    /// The alerts that it refers to.
    pub fetches: Vec<Fetch>,
    /// The sender's place in a trace of its own.
    pub traceparent: Option<Traceparent>,
}

/// Returns one action.
pub(super) fn action(db: &Connection, id: ActionId) -> Result<Option<ActionRecord>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT {ACTION} FROM {ACTIONS} WHERE a.id = ?1"))?;
    let mut found = statement.query([id.to_string()])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    Ok(Some(record(db, row)?))
}

/// Returns where an action stands.
pub(super) fn state(db: &Connection, id: ActionId) -> Result<Option<State>, StoreError> {
    let mut statement = db.prepare_cached("SELECT state FROM actions WHERE id = ?1")?;
    let mut found = statement.query([id.to_string()])?;
    found.next()?.map(|row| Columns(row).parsed("state")).transpose()
}

fn record(db: &Connection, row: &rusqlite::Row<'_>) -> Result<ActionRecord, StoreError> {
    let seq: i64 = Columns(row).raw("seq")?;
    let action = kept_action::read(row)?;
    Ok(ActionRecord {
        cancellation: cancel::find(db, action.id)?,
        holds: match action.state {
            State::Held => approvals::holds(db, action.id)?,
            _ => Vec::new(),
        },
        words: words::of(db, action.id)?,
        undo_mark: action.target.map(|target| undo::find(db, target)).transpose()?.flatten(),
        shared_with: shared_with(db, &action)?,
        superseded_by: superseded_by(&Columns(row))?,
        unread: unread(&action, &Columns(row))?,
        blocked_by: blocked_by(db, &action)?,
        retried_by: retry::retried_by(db, action.id)?,
        traceparent: traceparent(db, action.delivery_id)?,
        action,
        history: all(db, "SELECT * FROM history WHERE action_seq = ?1 ORDER BY n", seq, kept_action::change)?,
        attempts: all(db, "SELECT * FROM attempts WHERE action_seq = ?1 ORDER BY n", seq, attempt)?,
    })
}

/// Returns the place in a trace that came with a delivery. Nothing goes by it, so what cannot be read is none.
fn traceparent(db: &Connection, id: DeliveryId) -> Result<Option<Traceparent>, StoreError> {
    let mut statement = db.prepare_cached("SELECT traceparent FROM deliveries WHERE id = ?1")?;
    let kept: Option<Option<String>> = statement.query_row([id.to_string()], |row| row.get(0)).optional()?;
    Ok(kept.flatten().and_then(|text| text.parse().ok()))
}

impl Store {
    /// Returns the places in a trace that came with these deliveries, of those that have one.
    pub async fn traceparents(
        &self,
        deliveries: HashSet<DeliveryId>,
    ) -> Result<HashMap<DeliveryId, Traceparent>, StoreError> {
        let read = move |db: &Connection| {
            let of = |id| Ok(traceparent(db, id)?.map(|found| (id, found)));
            deliveries.into_iter().filter_map(|id| of(id).transpose()).collect()
        };
        self.readers.read(read).await
    }
}

fn shared_with(db: &Connection, action: &Action) -> Result<Vec<ActionId>, StoreError> {
    let (Some(target), Some(machine_action)) = (action.target, &action.machine_action) else {
        return Ok(Vec::new());
    };
    let mut statement = db.prepare_cached(
        "SELECT id FROM actions INDEXED BY actions_sent
         WHERE machine_id = ?1 AND sha1 = ?2 AND machine_action_id = ?3 AND id <> ?4 ORDER BY seq",
    )?;
    let (machine_id, sha1) = (target.machine_id.to_string(), target.sha1.to_string());
    let mut found =
        statement.query([&machine_id, &sha1, machine_action.id.as_str(), &action.id.to_string()])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(Columns(row).parsed("id")?);
    }
    Ok(ids)
}

fn superseded_by(columns: &Columns<'_, '_>) -> Result<Option<SupersededBy>, StoreError> {
    let Some(machine_action_id) = columns.raw("superseded_by_id")? else {
        return Ok(None);
    };
    let (requestor, status) = (columns.raw("superseded_by_requestor")?, columns.raw("superseded_by_status")?);
    Ok(Some(SupersededBy { machine_action_id, requestor, status }))
}

fn unread(action: &Action, columns: &Columns<'_, '_>) -> Result<Option<Unread>, StoreError> {
    if action.state != State::Uncertain {
        return Ok(None);
    }
    let (empty_reads, empty_read_at) = (columns.raw("empty_reads")?, columns.maybe_time("empty_read_at")?);
    Ok(Some(Unread { since: action.changed_at, empty_reads, empty_read_at }))
}

fn blocked_by(db: &Connection, action: &Action) -> Result<Option<ActionId>, StoreError> {
    let (State::Queued, Some(target)) = (action.state, action.target) else {
        return Ok(None);
    };
    let mut statement = db.prepare_cached(
        "SELECT id FROM actions WHERE machine_id = ?1 AND state IN ('sending', 'uncertain')",
    )?;
    let mut found = statement.query([target.machine_id.to_string()])?;
    found.next()?.map(|row| Columns(row).parsed("id")).transpose()
}

fn all<T>(
    db: &Connection,
    sql: &str,
    seq: i64,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut found = statement.query([seq])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn attempt(row: &rusqlite::Row<'_>) -> Result<Attempt, StoreError> {
    let columns = Columns(row);
    Ok(Attempt {
        n: columns.raw("n")?,
        intent_at: columns.time("intent_at")?,
        ended_at: columns.maybe_time("ended_at")?,
        outcome: columns.raw("outcome")?,
        http_status: columns.raw("http_status")?,
        code: columns.raw("code")?,
        message: columns.raw("message")?,
        correlation_id: columns.raw("correlation_id")?,
    })
}

/// Finds the alerts of an id by their unique index, which begins with the source: each source there is, and the id at it.
const ALERT: &str = "a.alert_seq IN (
    WITH RECURSIVE s (source) AS (
        SELECT min(source) FROM alerts
        UNION ALL SELECT (SELECT min(source) FROM alerts WHERE source > s.source) FROM s WHERE s.source IS NOT NULL
    )
    SELECT k.seq FROM s CROSS JOIN alerts k ON k.source = s.source AND k.alert_id = ?))";

/// Returns a page of actions, newest first.
pub(super) fn actions(db: &Connection, filter: &ActionFilter) -> Result<ActionPage, StoreError> {
    // The first that is wanted is the one to search by: the fewest actions have it. A plus keeps the others' indices away.
    let wanted = [
        (ALERT, filter.alert_id.as_ref().map(|id| Value::from(id.to_string()))),
        ("a.machine_id = ?)", filter.machine_id.map(|id| Value::from(id.to_string()))),
        ("a.sha1 = ?)", filter.sha1.map(|sha1| Value::from(sha1.to_string()))),
        ("a.held_reason = ?)", filter.held_reason.map(|reason| Value::from(reason.as_str().to_owned()))),
        ("a.state = ?)", filter.state.map(|state| Value::from(state.as_str().to_owned()))),
        ("a.source = ?)", filter.source.as_ref().map(|name| Value::from(name.to_string()))),
    ];
    let mut conditions = vec!["1".to_owned()];
    let mut values = Vec::new();
    for (condition, value) in wanted {
        if let Some(value) = value {
            let plus = if values.is_empty() { "" } else { "+" };
            conditions.push(format!("({plus}{condition}"));
            values.push(value);
        }
    }
    let bounds = [
        ("a.accepted_at >= ?", filter.since.map(millis)),
        ("a.accepted_at < ?", filter.until.map(millis)),
        ("a.seq < ?", filter.before),
    ];
    for (condition, value) in bounds {
        if let Some(value) = value {
            conditions.push(condition.to_owned());
            values.push(Value::from(value));
        }
    }
    // The few actions of an alert are found by it, and not among all of them in their order.
    let order = if filter.alert_id.is_some() { "+a.seq" } else { "a.seq" };
    // One more than asked tells whether there is a next page.
    values.push(Value::from(i64::from(filter.limit).saturating_add(1)));
    let sql = format!(
        "SELECT {ACTION} FROM {ACTIONS} WHERE {} ORDER BY {order} DESC LIMIT ?",
        conditions.join(" AND ")
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut page = ActionPage { actions: Vec::new(), next: None };
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let mut last = None;
    while let Some(row) = found.next()? {
        if page.actions.len() == limit {
            page.next = last;
            break;
        }
        last = Some(Columns(row).raw("seq")?);
        page.actions.push(record(db, row)?);
    }
    Ok(page)
}

impl Store {
    /// Returns when the newest action of a source was accepted, of those that are there.
    pub async fn last_action_at(&self, source: SourceName) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(move |db| last_action_at(db, &source)).await
    }
}

/// Returns when the newest action of a source was accepted, of those that are there.
pub(super) fn last_action_at(db: &Connection, source: &SourceName) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT accepted_at FROM actions INDEXED BY actions_by_source WHERE source = ?1 ORDER BY seq DESC LIMIT 1",
    )?;
    let mut found = statement.query([source.as_str()])?;
    found.next()?.map(|row| Columns(row).time("accepted_at")).transpose()
}

/// Returns one delivery.
pub(super) fn delivery(db: &Connection, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM deliveries WHERE id = ?1")?;
    let mut found = statement.query([id.to_string()])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let columns = Columns(row);
    Ok(Some(DeliveryRecord {
        id: columns.parsed("id")?,
        source: columns.parsed("source")?,
        delivery_key: columns.raw("delivery_key")?,
        key_id: columns.raw("key_id")?,
        signed_at: columns.maybe_time("signed_at")?,
        received_at: columns.time("received_at")?,
        body: columns.raw("body")?,
        outcome: columns.raw("outcome")?,
        alert_ids: columns.json("alert_ids")?,
        refused: columns.json("refused")?,
        fetches: fetches::of_delivery(db, id)?,
        traceparent: traceparent(db, id)?,
    }))
}
