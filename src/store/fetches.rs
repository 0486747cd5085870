//! Alerts to fetch: wanted by a delivery, until they are accepted or given up.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::alert::{
    Alert, DeliveryId, Fetch, FetchState, GraphAlertId, RefusedAlert, SourceName, Who, from_millis, millis,
};

use super::accept::{Accepted, Receipt, alert_ids, keep_alerts};
use super::batch::Batch;
use super::rows::{Columns, to_json};
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
    seq: i64,
    delivery_id: DeliveryId,
    source: SourceName,
    alert_id: GraphAlertId,
    round: i64,
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

    /// Accepts what an alert was read as when it was fetched, and ends the fetch, in one transaction. `None` if it had
    /// ended before.
    pub async fn accept_fetched(
        &self,
        fetch: PendingFetch,
        alerts: Vec<Alert>,
        refused: Vec<RefusedAlert>,
        now: Timestamp,
    ) -> Result<Option<Accepted>, StoreError> {
        let work = move |tx: &Transaction<'_>| accept(tx, &fetch, (&alerts, &refused), now);
        let accepted = self.writer.write(work).await?;
        self.unfinished.add(accepted.as_ref().map_or(0, Accepted::new_actions));
        self.work_arrived.notify_one();
        Ok(accepted)
    }

    /// Puts a fetch off.
    pub async fn fetch_again(
        &self,
        fetch: PendingFetch,
        why: String,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.write(move |tx| again(tx, &fetch, &why, at)).await
    }

    /// Gives a fetch up.
    pub async fn fetch_failed(
        &self,
        fetch: PendingFetch,
        why: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.write(move |tx| settle(tx, &fetch, FetchState::Failed, &why, now)).await
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

/// Accepts what an alert was read as when it was fetched; `None` if somebody else has ended the fetch.
fn accept(
    tx: &Transaction<'_>,
    fetch: &PendingFetch,
    (alerts, refused): (&[Alert], &[RefusedAlert]),
    now: Timestamp,
) -> Result<Option<Accepted>, StoreError> {
    let pending: bool = tx
        .prepare_cached("SELECT state = 'pending' FROM fetches WHERE seq = ?1")?
        .query_row([fetch.seq], |row| row.get(0))?;
    if !pending {
        return Ok(None);
    }
    add_to_delivery(tx, fetch, alerts, refused)?;
    let batch = Batch {
        delivery_id: fetch.delivery_id,
        source: &fetch.source,
        alerts,
        refused,
        references: &[],
        notices: &[],
        who: &Who::Source,
        requested: None,
        now,
    };
    let receipt = keep_alerts(tx, &batch)?;
    let why = if alerts.is_empty() { "fetched; nothing in it can become an action" } else { "fetched" };
    settle(tx, fetch, FetchState::Fetched, why, now)?;
    Ok(Some(match receipt {
        Receipt::New(accepted) | Receipt::Duplicate(accepted) => accepted,
        Receipt::Refused(delivery_id) | Receipt::Conflict(delivery_id) => {
            Accepted { delivery_id, alerts: Vec::new(), fetches: Vec::new() }
        }
    }))
}

/// Adds to the delivery what one alert was read as; what it was read as before is replaced.
fn add_to_delivery(
    tx: &Transaction<'_>,
    fetch: &PendingFetch,
    alerts: &[Alert],
    refused: &[RefusedAlert],
) -> Result<(), StoreError> {
    let id = fetch.delivery_id.to_string();
    let mut statement = tx.prepare_cached("SELECT alert_ids, refused FROM deliveries WHERE id = ?1")?;
    let mut rows = statement.query([&id])?;
    let row = rows.next()?.ok_or_else(|| StoreError::Corrupt("a fetch without its delivery".to_owned()))?;
    let mut ids: Vec<String> = Columns(row).json("alert_ids")?;
    let mut all: Vec<RefusedAlert> = Columns(row).json("refused")?;
    for id in alert_ids(alerts) {
        if !ids.iter().any(|had| had == id) {
            ids.push(id.to_owned());
        }
    }
    // A payload that cannot be read names no alert; here it is known which one it was.
    let named = |refused: &RefusedAlert| RefusedAlert {
        alert_id: Some(fetch.alert_id.to_string()),
        problems: refused.problems.clone(),
    };
    all.retain(|before| before.alert_id.as_deref() != Some(fetch.alert_id.as_str()));
    all.extend(refused.iter().map(named));
    tx.prepare_cached("UPDATE deliveries SET alert_ids = ?2, refused = ?3 WHERE id = ?1")?
        .execute(params![id, to_json(&ids)?, to_json(&all)?])?;
    Ok(())
}

/// Writes that Graph will be asked again; nothing if the alert was referred to anew meanwhile.
fn again(tx: &Transaction<'_>, fetch: &PendingFetch, why: &str, at: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE fetches SET attempts = attempts + 1, why = ?3, next_at = ?4
         WHERE seq = ?1 AND round = ?2 AND state = 'pending'",
    )?
    .execute(params![fetch.seq, fetch.round, why, millis(at)])?;
    Ok(())
}

/// Ends a fetch; nothing if the alert was referred to anew meanwhile, for what was fetched may be old.
fn settle(
    tx: &Transaction<'_>,
    fetch: &PendingFetch,
    state: FetchState,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE fetches SET attempts = attempts + 1, state = ?3, why = ?4, next_at = NULL, ended_at = ?5
         WHERE seq = ?1 AND round = ?2 AND state = 'pending'",
    )?
    .execute(params![fetch.seq, fetch.round, state.as_str(), why, millis(now)])?;
    Ok(())
}
