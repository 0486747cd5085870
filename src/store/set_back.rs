//! Lets nothing wait longer because the time of day was set back.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use crate::alert::millis;

use super::{Store, StoreError};

/// Looks are due at once, for they change nothing.
const LOOKS: &str =
    "UPDATE actions SET next_at = ?1 WHERE state IN ('resolving', 'uncertain', 'submitted') AND next_at > ?1";

/// What was done before and seems to lie ahead is put back, and so is the end of every other wait.
const WAITS: [&str; 5] = [
    "UPDATE actions SET next_at = next_at - ?2 WHERE state = 'queued' AND next_at > ?1",
    "UPDATE actions SET intent_at = intent_at - ?2 WHERE state = 'uncertain' AND intent_at > ?1",
    "UPDATE actions SET empty_read_at = empty_read_at - ?2 WHERE state = 'uncertain' AND empty_read_at > ?1",
    "UPDATE cancellations SET next_at = next_at - ?2 WHERE next_at > ?1",
    "UPDATE messages SET next_at = next_at - ?2 WHERE next_at > ?1",
];

impl Store {
    /// Takes over a time of day that was set back by so much.
    pub async fn set_back(&self, by: SignedDuration, now: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |tx| set_back(tx, by, now)).await
    }
}

fn set_back(tx: &Transaction<'_>, by: SignedDuration, now: Timestamp) -> Result<(), StoreError> {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    tx.execute(LOOKS, [millis(now)])?;
    for statement in WAITS {
        tx.execute(statement, params![millis(now), by])?;
    }
    Ok(())
}
