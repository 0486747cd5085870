//! Alerts to fetch: a delivery wants them, as it only refers to them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::alert::{DeliveryId, Fetch, FetchState, GraphAlertId, SourceName, from_millis, millis};

use super::batch::Batch;
use super::rows::Columns;
use super::{Store, StoreError};

/// An alert that is on disk as one to fetch.
///
/// Only the store can make one, it cannot be copied, and whatever ends the fetch takes it by value: nothing can be
/// accepted as fetched that no proven sender has referred to.
///
/// ```compile_fail,E0451
/// use quarantine_bridge::{alert::GraphAlertId, store::PendingFetch};
/// fn forged(real: PendingFetch, alert_id: GraphAlertId) -> PendingFetch { PendingFetch { alert_id, ..real } }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct PendingFetch {
    pub(super) seq: i64,
    delivery_id: DeliveryId,
    source: SourceName,
    alert_id: GraphAlertId,
    pub(super) round: i64,
    attempts: u32,
    wanted_at: Timestamp,
}

impl PendingFetch {
    /// Tells it from all others.
    pub fn key(&self) -> i64 {
        self.seq
    }

    /// The delivery that refers to the alert.
    pub fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }

    /// Who sent the delivery.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Which alert.
    pub fn alert_id(&self) -> &GraphAlertId {
        &self.alert_id
    }

    /// How often Graph was asked before.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the alert was last referred to.
    pub fn wanted_at(&self) -> Timestamp {
        self.wanted_at
    }
}

/// An alert to fetch, as its delivery left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFetch {
    /// Which alert.
    pub alert_id: GraphAlertId,
    /// Whether it is fetched because of this delivery; else it was to be fetched already.
    pub is_new: bool,
}

impl Store {
    /// Waits until there may be alerts to fetch. Ask for it before looking for them.
    pub async fn fetch_wanted(&self) {
        self.fetch_wanted.notified().await;
    }

    /// Returns what is due to be fetched, the longest due first.
    pub async fn due_fetches(&self, now: Timestamp, limit: u32) -> Result<Vec<PendingFetch>, StoreError> {
        self.readers.read(move |db| due(db, now, limit)).await
    }

    /// Returns how many alerts are to be fetched, and when the next one is due.
    pub async fn pending_fetches(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.readers.read(pending).await
    }
}

/// Writes down which alerts a delivery wants fetched.
///
/// One that was fetched before is fetched again: a sender that repeats itself says that the alert has changed.
pub(super) fn want(tx: &Transaction<'_>, batch: &Batch<'_>) -> Result<Vec<WantedFetch>, StoreError> {
    let mut wanted = Vec::new();
    for alert_id in batch.references {
        let key = params![batch.delivery_id.to_string(), alert_id.as_str()];
        let before: Option<String> = tx
            .prepare_cached("SELECT state FROM fetches WHERE delivery_id = ?1 AND alert_id = ?2")?
            .query_row(key, |row| row.get(0))
            .optional()?;
        tx.prepare_cached(
            "INSERT INTO fetches (delivery_id, source, alert_id, state, why, round, attempts, wanted_at, next_at)
             VALUES (?1, ?2, ?3, 'pending', 'the delivery refers to it', 1, 0, ?4, ?4)
             ON CONFLICT (delivery_id, alert_id) DO UPDATE SET state = 'pending', why = excluded.why,
                 round = round + 1, attempts = 0, wanted_at = ?4, next_at = ?4, ended_at = NULL",
        )?
        .execute(params![
            batch.delivery_id.to_string(),
            batch.source.as_str(),
            alert_id.as_str(),
            millis(batch.now)
        ])?;
        let is_new = before.as_deref() != Some(FetchState::Pending.as_str());
        wanted.push(WantedFetch { alert_id: alert_id.clone(), is_new });
    }
    Ok(wanted)
}

/// Returns what is due to be fetched, the longest due first.
fn due(db: &Connection, now: Timestamp, limit: u32) -> Result<Vec<PendingFetch>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT * FROM fetches WHERE next_at <= ?1 ORDER BY next_at, seq LIMIT ?2")?;
    let mut rows = statement.query(params![millis(now), limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        due.push(PendingFetch {
            seq: columns.raw("seq")?,
            delivery_id: columns.parsed("delivery_id")?,
            source: columns.parsed("source")?,
            alert_id: columns.parsed("alert_id")?,
            round: columns.raw("round")?,
            attempts: columns.raw("attempts")?,
            wanted_at: columns.time("wanted_at")?,
        });
    }
    Ok(due)
}

/// Returns how many alerts are to be fetched, and when the next one is due.
fn pending(db: &Connection) -> Result<(u64, Option<Timestamp>), StoreError> {
    let mut statement =
        db.prepare_cached("SELECT count(*), min(next_at) FROM fetches WHERE next_at IS NOT NULL")?;
    let (count, next): (i64, Option<i64>) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((u64::try_from(count).unwrap_or(0), next.map(from_millis)))
}

/// Returns what a delivery wanted fetched.
pub(super) fn of_delivery(db: &Connection, id: DeliveryId) -> Result<Vec<Fetch>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM fetches WHERE delivery_id = ?1 ORDER BY seq")?;
    let mut rows = statement.query([id.to_string()])?;
    let mut fetches = Vec::new();
    while let Some(row) = rows.next()? {
        fetches.push(fetch(row)?);
    }
    Ok(fetches)
}

fn fetch(row: &Row<'_>) -> Result<Fetch, StoreError> {
    let columns = Columns(row);
    Ok(Fetch {
        alert_id: columns.parsed("alert_id")?,
        state: columns.parsed("state")?,
        why: columns.raw("why")?,
        attempts: columns.raw("attempts")?,
        wanted_at: columns.time("wanted_at")?,
        next_at: columns.maybe_time("next_at")?,
        ended_at: columns.maybe_time("ended_at")?,
    })
}
