//! What came of fetching an alert: it is accepted, will be tried again, or is given up.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{Alert, FetchState, RefusedAlert, Who, millis};

use super::accept::{Accepted, Receipt, alert_ids, keep_alerts};
use super::batch::Batch;
use super::fetches::PendingFetch;
use super::rows::{Columns, to_json};
use super::{Store, StoreError};

impl Store {
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
        delivery_id: fetch.delivery_id(),
        source: fetch.source(),
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
    let id = fetch.delivery_id().to_string();
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
        alert_id: Some(fetch.alert_id().to_string()),
        problems: refused.problems.clone(),
    };
    all.retain(|before| before.alert_id.as_deref() != Some(fetch.alert_id().as_str()));
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
