//! The calls of Defender that count against its limits.

use rusqlite::{Connection, Transaction, params};

use crate::alert::{Api, Moment, Steady, from_millis, millis};

use super::rows::Columns;
use super::{Store, StoreError};

/// How many calls are kept: more than an hour allows over all parts of the API, whatever the clock says.
const KEPT_MAX: i64 = 20_000;

/// A call that was counted when it was planned, and was answered much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateCall {
    /// Where it went.
    pub api: Api,
    /// When it was counted.
    pub counted_at: Steady,
    /// When it was answered: it has left by then.
    pub answered: Moment,
}

impl Store {
    /// Keeps calls that are about to be made.
    pub async fn record_calls(&self, calls: Vec<(Api, Moment)>) -> Result<(), StoreError> {
        self.writer.write(move |tx| record(tx, &calls)).await
    }

    /// Returns the calls of late, in the order in which they were made.
    pub async fn calls(&self) -> Result<Vec<(Api, Moment)>, StoreError> {
        self.readers.read(kept).await
    }
}

/// Keeps calls, and forgets those that so many others came after.
pub(super) fn record(tx: &Transaction<'_>, calls: &[(Api, Moment)]) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached("INSERT INTO calls (api, at, steady) VALUES (?1, ?2, ?3)")?;
    for (api, moment) in calls {
        insert.execute(params![api.as_str(), millis(moment.at), moment.steady.map(Steady::millis)])?;
    }
    tx.prepare_cached("DELETE FROM calls WHERE seq <= (SELECT max(seq) FROM calls) - ?1")?
        .execute([KEPT_MAX])?;
    Ok(())
}

/// Has a call count from when it was answered, for it is not known when it left. The next run knows no more of it than this.
pub(super) fn count_late(tx: &Transaction<'_>, late: &LateCall) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM calls WHERE seq = (SELECT max(seq) FROM calls WHERE api = ?1 AND steady = ?2)",
    )?
    .execute(params![late.api.as_str(), late.counted_at.millis()])?;
    record(tx, &[(late.api, late.answered)])
}

/// Returns the calls that are kept, in the order in which they were made.
fn kept(db: &Connection) -> Result<Vec<(Api, Moment)>, StoreError> {
    let mut statement = db.prepare_cached("SELECT api, at, steady FROM calls ORDER BY seq")?;
    let mut found = statement.query([])?;
    let mut calls = Vec::new();
    while let Some(row) = found.next()? {
        let columns = Columns(row);
        let steady: Option<i64> = columns.raw("steady")?;
        let at = from_millis(columns.raw("at")?);
        calls.push((columns.parsed("api")?, Moment { at, steady: steady.map(Steady::from_millis) }));
    }
    Ok(calls)
}
