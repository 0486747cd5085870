//! The messages to callbacks: made from the audit, sent until they are taken or given up, kept to be seen.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction, params, params_from_iter};

use crate::alert::{ActionId, CallbackName, EventType, MessageState, millis};

use super::audit::{self, AuditRow};
use super::rows::Columns;
use super::{Options, Store, StoreError, callbacks, connection};

/// An event for one callback, to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// What tells the event from all others, for good.
    pub id: String,
    /// What happened.
    pub event: EventType,
    /// To which action.
    pub action: ActionId,
    /// What is sent.
    pub body: String,
}

/// What there is to do for a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackWork {
    /// The entry of the audit up to which it has messages.
    pub told_to: u64,
    /// The entries after it, the oldest first.
    pub entries: Vec<AuditRow>,
    /// The messages that are due, the longest due first.
    pub due: Vec<DueMessage>,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMessage {
    /// Its place.
    pub seq: i64,
    /// What tells the event from all others.
    pub id: String,
    /// How often it was sent in vain.
    pub attempts: u32,
    /// What is sent.
    pub body: String,
}

/// What came of sending a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The callback has taken it.
    Delivered,
    /// Not yet: it is sent again then.
    Again(Timestamp),
    /// It is given up.
    Dead,
    /// The callback wants nothing any more.
    Gone,
}

/// One sending of a message, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// To whom.
    pub callback: CallbackName,
    /// Which message.
    pub seq: i64,
    /// How often it had been sent in vain before.
    pub attempts: u32,
    /// What came of it.
    pub sent: Sent,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What came back, in words.
    pub why: String,
    /// Now.
    pub now: Timestamp,
}

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its place.
    pub seq: i64,
    /// What tells the event from all others: its `webhook-id`.
    pub id: String,
    /// What happened.
    pub event: EventType,
    /// To which action.
    pub action: ActionId,
    /// How far it has come.
    pub state: MessageState,
    /// How often it was sent in vain, since it was last queued.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is sent, if it is to be.
    pub next_at: Option<Timestamp>,
    /// When it was last sent.
    pub tried_at: Option<Timestamp>,
    /// With which HTTP status that was answered.
    pub status: Option<u16>,
    /// What came back then, or why it was given up.
    pub why: Option<String>,
    /// When it was taken or given up.
    pub ended_at: Option<Timestamp>,
}

/// Which messages to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFilter {
    /// Of which callback.
    pub callback: CallbackName,
    /// Only those in this state.
    pub state: Option<MessageState>,
    /// Only those older than this place.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

impl Store {
    /// Returns what there is to do for a callback; `None` if it is not known.
    pub async fn callback_work(
        &self,
        name: CallbackName,
        now: Timestamp,
        limit: u32,
    ) -> Result<Option<CallbackWork>, StoreError> {
        self.readers.read(move |db| work(db, &name, now, limit)).await
    }

    /// Queues what a callback is to be told of the entries after `from`, up to `to`; nothing if that was done before.
    pub async fn queue_messages(
        &self,
        name: CallbackName,
        (from, to): (u64, u64),
        messages: Vec<NewMessage>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                let place = callbacks::place(tx, &name)?.filter(|place| place.told_to == from);
                let Some(place) = place else {
                    return Ok(());
                };
                tx.prepare_cached("UPDATE callbacks SET told_to = ?2 WHERE name = ?1")?
                    .execute(params![name.as_str(), i64::try_from(to).unwrap_or(i64::MAX)])?;
                messages.iter().try_for_each(|message| keep(tx, &name, message, place.closed, now))
            })
            .await
    }

    /// Records what came of sending a message.
    pub async fn record_sending(&self, sending: Sending) -> Result<(), StoreError> {
        self.writer.write(move |tx| record(tx, &sending)).await
    }

    /// Returns messages of a callback, the newest first; `None` if there is no such callback.
    pub async fn messages(&self, filter: MessageFilter) -> Result<Option<Vec<MessageRecord>>, StoreError> {
        self.readers.read(move |db| page(db, &filter)).await
    }
}

fn work(
    db: &Connection,
    name: &CallbackName,
    now: Timestamp,
    limit: u32,
) -> Result<Option<CallbackWork>, StoreError> {
    let Some(place) = callbacks::place(db, name)? else {
        return Ok(None);
    };
    let entries = audit::page(db, place.told_to, limit)?;
    Ok(Some(CallbackWork { told_to: place.told_to, entries, due: due(db, name, now, limit)? }))
}

fn due(
    db: &Connection,
    name: &CallbackName,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<DueMessage>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, id, attempts, body FROM messages INDEXED BY messages_due
         WHERE callback = ?1 AND next_at <= ?2 ORDER BY next_at, seq LIMIT ?3",
    )?;
    let mut rows = statement.query(params![name.as_str(), millis(now), limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        due.push(DueMessage {
            seq: columns.raw("seq")?,
            id: columns.raw("id")?,
            attempts: columns.raw("attempts")?,
            body: columns.raw("body")?,
        });
    }
    Ok(due)
}

/// Queues a message, or gives it up at once; nothing if it is there.
pub(super) fn keep(
    tx: &Transaction<'_>,
    name: &CallbackName,
    message: &NewMessage,
    closed: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let state = if closed.is_some() { MessageState::Dead } else { MessageState::Queued };
    tx.prepare_cached(
        "INSERT INTO messages (callback, id, type, action_id, body, state, why, created_at, next_at, ended_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, CASE WHEN ?7 IS NULL THEN ?8 END, CASE WHEN ?7 IS NOT NULL THEN ?8 END)
         ON CONFLICT (callback, id) DO NOTHING",
    )?
    .execute(params![
        name.as_str(),
        message.id,
        message.event.as_str(),
        message.action.to_string(),
        message.body,
        state.as_str(),
        closed,
        millis(now),
    ])?;
    Ok(())
}

/// A message that was queued again meanwhile is not given up by what was sent before; one that was taken is taken.
fn record(tx: &Transaction<'_>, sending: &Sending) -> Result<(), StoreError> {
    let Sending { seq, attempts, status, why, now, .. } = sending;
    if sending.sent == Sent::Delivered {
        tx.prepare_cached(
            "UPDATE messages SET state = 'delivered', next_at = NULL, tried_at = ?2, status = ?3, why = ?4, ended_at = ?2
             WHERE seq = ?1",
        )?
        .execute(params![seq, millis(*now), status, why])?;
        return Ok(());
    }
    let next_at = match sending.sent {
        Sent::Again(at) => Some(millis(at)),
        Sent::Delivered | Sent::Dead | Sent::Gone => None,
    };
    tx.prepare_cached(
        "UPDATE messages SET attempts = attempts + 1, state = CASE WHEN ?5 IS NULL THEN 'dead' ELSE 'queued' END,
             next_at = ?5, tried_at = ?3, status = ?4, why = ?6, ended_at = CASE WHEN ?5 IS NULL THEN ?3 END
         WHERE seq = ?1 AND attempts = ?2 AND state = 'queued'",
    )?
    .execute(params![seq, attempts, millis(*now), status, next_at, why])?;
    if sending.sent == Sent::Gone {
        callbacks::is_gone_now(tx, &sending.callback, *now)?;
    }
    Ok(())
}

fn page(db: &Connection, filter: &MessageFilter) -> Result<Option<Vec<MessageRecord>>, StoreError> {
    if callbacks::place(db, &filter.callback)?.is_none() {
        return Ok(None);
    }
    let mut conditions = String::new();
    let mut values = vec![
        Value::from(filter.callback.as_str().to_owned()),
        Value::from(filter.before.unwrap_or(i64::MAX)),
    ];
    if let Some(state) = filter.state {
        conditions.push_str("AND state = ? ");
        values.push(Value::from(state.as_str().to_owned()));
    }
    values.push(Value::from(i64::from(filter.limit)));
    let sql = format!(
        "SELECT * FROM messages WHERE callback = ? AND seq < ? {conditions}ORDER BY seq DESC LIMIT ?"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push(message(row)?);
    }
    Ok(Some(page))
}

fn message(row: &Row<'_>) -> Result<MessageRecord, StoreError> {
    let columns = Columns(row);
    Ok(MessageRecord {
        seq: columns.raw("seq")?,
        id: columns.raw("id")?,
        event: columns.parsed("type")?,
        action: columns.parsed("action_id")?,
        state: columns.parsed("state")?,
        attempts: columns.raw("attempts")?,
        created_at: columns.time("created_at")?,
        next_at: columns.maybe_time("next_at")?,
        tried_at: columns.maybe_time("tried_at")?,
        status: columns.raw("status")?,
        why: columns.raw("why")?,
        ended_at: columns.maybe_time("ended_at")?,
    })
}

/// Deletes some messages that ended long ago; returns how many. A reminder stays while what it is about is held: else it would be
/// sent once more.
pub(super) fn forget(tx: &Transaction<'_>, until: Timestamp, limit: u32) -> Result<usize, StoreError> {
    let deleted = tx
        .prepare_cached(
            "DELETE FROM messages WHERE seq IN (
                 SELECT m.seq FROM messages m INDEXED BY messages_ended WHERE m.ended_at <= ?1 AND NOT EXISTS (
                     SELECT 1 FROM actions a WHERE a.id = m.action_id AND a.state = 'held') LIMIT ?2)",
        )?
        .execute(params![millis(until), limit])?;
    Ok(deleted)
}

/// Returns messages of a database that a server may be using at the same time; `None` if there is no such callback.
pub fn messages_beside(
    options: &Options,
    filter: &MessageFilter,
) -> Result<Option<Vec<MessageRecord>>, StoreError> {
    page(&connection::open_to_read(&options.path)?, filter)
}
