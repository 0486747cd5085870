//! What waits for devices at Defender, counted by source.

use jiff::Timestamp;
use rusqlite::Connection;

use crate::alert::{SourceName, millis};

use super::StoreError;
use super::rows::Columns;

/// The machine actions of one source that wait for their devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAtDefender {
    /// The source.
    pub source: SourceName,
    /// How many.
    pub count: u32,
    /// When the oldest was made.
    pub oldest: Timestamp,
}

/// Returns, by source, the machine actions that have been Pending since that time or longer.
pub(super) fn at_defender(db: &Connection, since: Timestamp) -> Result<Vec<PendingAtDefender>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT source, count(*) AS count, min(machine_action_since) AS oldest
         FROM actions INDEXED BY actions_by_state
         WHERE state = 'submitted' AND lower(machine_action_status) = 'pending' AND machine_action_since <= ?1
         GROUP BY source ORDER BY source",
    )?;
    let mut found = statement.query([millis(since)])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let columns = Columns(row);
        all.push(PendingAtDefender {
            source: columns.parsed("source")?,
            count: columns.raw("count")?,
            oldest: columns.time("oldest")?,
        });
    }
    Ok(all)
}
