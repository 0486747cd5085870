//! What a source in shadow mode would have done, as the history keeps it.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::alert::{SourceName, Target, millis};
use crate::policy::Shadowed;

use super::rows::Columns;
use super::{Options, StoreError, connection};

/// Of which source, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowFilter {
    /// The source.
    pub source: SourceName,
    /// Since when.
    pub since: Timestamp,
}

/// Reads what a shadow source would have done, of a database that a server may be using at the same time.
pub fn shadowed(options: &Options, filter: &ShadowFilter) -> Result<Vec<Shadowed>, StoreError> {
    read(&connection::open_to_read(&options.path)?, filter)
}

/// Reads the actions, oldest first.
fn read(db: &Connection, filter: &ShadowFilter) -> Result<Vec<Shadowed>, StoreError> {
    let mut statement = db.prepare(
        "SELECT h.at, l.title, a.machine_id, a.sha1, h.why, h.facts
         FROM actions a INDEXED BY actions_by_source JOIN alerts l ON l.seq = a.alert_seq
         JOIN history h ON h.action_seq = a.seq AND h.to_state = 'shadowed'
         WHERE a.source = ?1 AND h.at >= ?2 ORDER BY a.seq",
    )?;
    let mut rows = statement.query(params![filter.source.as_str(), millis(filter.since)])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        let target = columns.maybe("machine_id")?.zip(columns.maybe("sha1")?);
        all.push(Shadowed {
            at: columns.time("at")?,
            rule: columns.raw("title")?,
            target: target.map(|(machine_id, sha1)| Target { machine_id, sha1 }),
            why: columns.raw("why")?,
            facts: columns.json("facts")?,
        });
    }
    Ok(all)
}
