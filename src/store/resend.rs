//! Has messages to callbacks sent again, because a person wants it.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{CallbackName, Who, millis};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::rows::unsigned;
use super::{Options, Store, StoreError, callbacks, connection};

/// How many messages are queued again in one write.
const REPLAY_MAX: u32 = 10_000;

/// The wish to send messages again.
#[derive(Debug, Clone)]
pub struct ReplayMessages {
    /// Of which callback.
    pub callback: CallbackName,
    /// The one of this id, whatever became of it; without one, all that were given up.
    pub id: Option<String>,
    /// Who wants it.
    pub who: Who,
    /// Why, in one line.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}

/// What came of the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// They are queued; how many, and how many that were given up are left.
    Queued {
        /// How many.
        count: usize,
        /// How many are left.
        left: u64,
    },
    /// There is no such callback or message.
    Missing,
    /// The callback cannot be told anything now, for this reason.
    Closed(&'static str),
}

impl fmt::Display for Replayed {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued { count, left } => write!(f, "{count} queued, {left} left"),
            Self::Missing => f.write_str("no such callback or message"),
            Self::Closed(why) => write!(f, "refused: {why}"),
        }
    }
}

impl Store {
    /// Has messages sent again.
    pub async fn replay_messages(&self, replay: ReplayMessages) -> Result<Replayed, StoreError> {
        self.writer.write(move |tx| self::replay(tx, &replay)).await
    }
}

fn replay(tx: &Transaction<'_>, replay: &ReplayMessages) -> Result<Replayed, StoreError> {
    let name = &replay.callback;
    let Some(place) = callbacks::place(tx, name)? else {
        return Ok(Replayed::Missing);
    };
    if let Some(why) = place.closed {
        return Ok(Replayed::Closed(why));
    }
    let queue = "UPDATE messages SET state = 'queued', attempts = 0, next_at = ?2, ended_at = NULL WHERE callback = ?1 AND ";
    let (callback, now) = (name.as_str(), millis(replay.now));
    let count = if let Some(id) = &replay.id {
        tx.prepare_cached(&format!("{queue} id = ?3"))?.execute(params![callback, now, id])?
    } else {
        let some =
            "seq IN (SELECT seq FROM messages WHERE callback = ?1 AND state = 'dead' ORDER BY seq LIMIT ?3)";
        tx.prepare_cached(&format!("{queue} {some}"))?.execute(params![callback, now, REPLAY_MAX])?
    };
    if count == 0 && replay.id.is_some() {
        return Ok(Replayed::Missing);
    }
    let mut dead =
        tx.prepare_cached("SELECT count(*) FROM messages WHERE callback = ?1 AND state = 'dead'")?;
    let left = unsigned(dead.query_row([name.as_str()], |row| row.get(0))?);
    let what =
        replay.id.as_ref().map_or_else(|| "all that was given up".to_owned(), |id| format!("message {id}"));
    let done = Administered {
        to: Some(format!("callback {name}: {what}")),
        reason: Some(replay.reason.clone()),
        after: Some(format!("{count} queued")),
        ..Administered::new(&replay.who, Act::ReplayMessages, replay.now)
    };
    audit::administered(tx, &done)?;
    Ok(Replayed::Queued { count, left })
}

/// Has messages sent again, in a database that a server may be using at the same time.
pub fn replay_messages_beside(options: &Options, replay: &ReplayMessages) -> Result<Replayed, StoreError> {
    connection::write_beside(&options.path, |tx| self::replay(tx, replay))
}
