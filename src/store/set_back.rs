//! Lets nothing wait longer because the time of day was set back.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use crate::alert::{Anchor, Steady, millis};

use super::{Store, StoreError, audit};

/// Looks are due at once, for they change nothing.
const LOOKS: &str =
    "UPDATE actions SET next_at = ?1 WHERE state IN ('resolving', 'uncertain', 'submitted') AND next_at > ?1";

/// What was done before and seems to lie ahead is put back, and so is the end of every other wait.
const WAITS: [&str; 6] = [
    "UPDATE actions SET next_at = next_at - ?2 WHERE state = 'queued' AND next_at > ?1",
    "UPDATE actions SET intent_at = intent_at - ?2 WHERE state = 'uncertain' AND intent_at > ?1",
    "UPDATE actions SET empty_read_at = empty_read_at - ?2 WHERE state = 'uncertain' AND empty_read_at > ?1",
    "UPDATE cancellations SET next_at = next_at - ?2 WHERE next_at > ?1",
    "UPDATE fetches SET next_at = next_at - ?2 WHERE next_at > ?1",
    "UPDATE messages SET next_at = next_at - ?2 WHERE next_at > ?1",
];

impl Store {
    /// Takes over a time of day that was set back while the service was down, as the last entry of the audit shows; says by how much
    /// at the least.
    pub async fn set_back_since_last_run(
        &self,
        now: Timestamp,
        steady: Steady,
    ) -> Result<Option<SignedDuration>, StoreError> {
        self.writer
            .write(move |tx| {
                let last = audit::last_at(tx)?.map(|last| Anchor::new(last, steady));
                let by = last.and_then(|last| last.was_set_back(now, steady));
                by.map_or(Ok(()), |by| set_back(tx, by, now))?;
                Ok(by)
            })
            .await
    }

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
