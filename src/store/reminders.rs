//! Reminders of actions that wait for a person: which are due, and that each is queued once.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::alert::{ActionId, CallbackName, Remind, SourceName, before, millis};

use super::messages::{self, NewMessage};
use super::rows::Columns;
use super::{Store, StoreError, callbacks};

/// A reminder that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReminder {
    /// What tells it from all others: the action, since when it is held, and which reminder of that it is.
    pub id: String,
    /// The action that waits.
    pub action: ActionId,
    /// Who sent its alert.
    pub source: SourceName,
}

impl Store {
    /// Returns the reminders that are due for a callback.
    pub async fn due_reminders(
        &self,
        name: CallbackName,
        rules: Vec<Remind>,
        now: Timestamp,
    ) -> Result<Vec<DueReminder>, StoreError> {
        self.readers.read(move |db| due(db, &name, &rules, now)).await
    }

    /// Queues reminders, of actions that wait still.
    pub async fn queue_reminders(
        &self,
        name: CallbackName,
        reminders: Vec<NewMessage>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.write(move |tx| queue(tx, &name, &reminders, now)).await
    }
}

/// A reminder has one id, so whether it was made is seen by its message.
fn due(
    db: &Connection,
    name: &CallbackName,
    rules: &[Remind],
    now: Timestamp,
) -> Result<Vec<DueReminder>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, source, 'rem_' || id || '_' || changed_at || '_' || ?2 AS reminder FROM actions
         WHERE state = 'held' AND (changed_at <= ?3 OR (expires_at - ?5 <= ?4 AND expires_at - ?5 > changed_at)) AND NOT EXISTS (
             SELECT 1 FROM messages m
             WHERE m.callback = ?1 AND m.id = 'rem_' || actions.id || '_' || changed_at || '_' || ?2)
         ORDER BY seq",
    )?;
    let mut due = Vec::new();
    for rule in rules {
        // What expires sooner than that from the beginning needs no reminder at its beginning.
        let (held_since, rest) = match rule {
            Remind::After(age) => (Some(millis(before(now, *age))), None),
            Remind::BeforeExpiry(rest) => (None, i64::try_from(rest.as_millis()).ok()),
        };
        let values = params![name.as_str(), rule.word(), held_since, millis(now), rest];
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let columns = Columns(row);
            due.push(DueReminder {
                id: columns.raw("reminder")?,
                action: columns.parsed("id")?,
                source: columns.parsed("source")?,
            });
        }
    }
    Ok(due)
}

fn queue(
    tx: &Transaction<'_>,
    name: &CallbackName,
    reminders: &[NewMessage],
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(place) = callbacks::place(tx, name)? else {
        return Ok(());
    };
    let mut held = tx.prepare_cached("SELECT 1 FROM actions WHERE id = ?1 AND state = 'held'")?;
    for reminder in reminders {
        if held.exists([reminder.action.to_string()])? {
            messages::keep(tx, name, reminder, place.closed, now)?;
        }
    }
    Ok(())
}
