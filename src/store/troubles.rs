//! What has gone wrong of late, in words of ours and of Defender only: nothing of it names a device, a file or an alert.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use crate::alert::from_millis;

use super::{Options, StoreError, connection};

/// How many calls that failed are told.
const CALLS_MAX: u32 = 50;

/// How far back they are looked for, in attempts.
const LOOKED_AT: u32 = 5_000;

/// A call of Defender that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCall {
    /// When its intent was recorded.
    pub at: Timestamp,
    /// How it ended; none if that is not known yet.
    pub outcome: Option<String>,
    /// The status of the answer.
    pub http_status: Option<u16>,
    /// Defender's error code, as it came.
    pub code: Option<String>,
}

/// What has gone wrong of late.
#[derive(Debug, Clone)]
pub struct Troubles {
    /// The last calls that were not taken, the newest first.
    pub calls: Vec<FailedCall>,
    /// How many actions lack a device or a file for which reason.
    pub held: BTreeMap<String, u64>,
    /// The version of the schema.
    pub schema: i64,
    /// SHA-256 of the schema's text: another one says that somebody has changed it.
    pub schema_sha256: String,
    /// How many rows each table has; its highest row number, where counting would read all of it.
    pub tables: BTreeMap<String, i64>,
}

/// Reads what has gone wrong of late, beside whoever serves the database.
pub fn troubles(options: &Options) -> Result<Troubles, StoreError> {
    let db = connection::open_to_read(&options.path)?;
    let schema = texts(&db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
    let mut tables = BTreeMap::new();
    for table in ["deliveries", "alerts", "actions", "audit", "fetches", "messages"] {
        let sql = format!("SELECT coalesce(max(rowid), 0) FROM {table}");
        tables.insert(table.to_owned(), db.query_row(&sql, [], |row| row.get(0))?);
    }
    Ok(Troubles {
        calls: failed_calls(&db)?,
        held: held(&db)?,
        schema: db.pragma_query_value(None, "user_version", |row| row.get(0))?,
        schema_sha256: hex::encode(Sha256::digest(schema.join("\n"))),
        tables,
    })
}

fn texts(db: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare(sql)?;
    let found = statement.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn failed_calls(db: &Connection) -> Result<Vec<FailedCall>, StoreError> {
    let mut statement = db.prepare(
        "SELECT intent_at, outcome, http_status, code
         FROM (SELECT * FROM attempts ORDER BY action_seq DESC, n DESC LIMIT ?1)
         WHERE outcome IS NULL OR outcome <> 'accepted' LIMIT ?2",
    )?;
    let call = |row: &Row<'_>| {
        Ok(FailedCall {
            at: from_millis(row.get(0)?),
            outcome: row.get(1)?,
            http_status: row.get(2)?,
            code: row.get(3)?,
        })
    };
    let calls = statement.query_map([LOOKED_AT, CALLS_MAX], call)?;
    Ok(calls.collect::<Result<_, _>>()?)
}

fn held(db: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut statement = db.prepare(
        "SELECT held_reason, count(*) FROM actions INDEXED BY actions_by_held_reason
         WHERE held_reason IS NOT NULL GROUP BY held_reason",
    )?;
    let count = |row: &Row<'_>| Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()));
    let counts = statement.query_map([], count)?;
    Ok(counts.collect::<Result<_, _>>()?)
}
