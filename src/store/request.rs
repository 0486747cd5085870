//! Takes actions that a caller of the API asks for: its body is kept as a delivery, what it asks for as alerts with one pair
//! each. All of it is one transaction, with what is to be answered when the same is asked again.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{Alert, DeliveryId, Requested, State};
use crate::audit::Act;
use crate::ingest::Verified;

use super::accept::{Accept, alert_ids, keep_alert, keep_delivery, known_delivery};
use super::audit::{self, Administered};
use super::batch::Batch;
use super::idempotency::{self, Once, Taken};
use super::known_pair;
use super::rows::{Columns, new_uuid, to_json};
use super::{Store, StoreError};

/// What a caller of the API asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its body, the caller proven.
    pub delivery: Verified,
    /// The actions.
    pub actions: Vec<Wanted>,
    /// Under which key it may be asked again, if under any.
    pub once: Option<Once>,
    /// A digest of what is asked for: under one key it is always the same.
    pub asked: [u8; 32],
    /// Now.
    pub now: Timestamp,
}

/// One action that is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The alert, with the one pair that is meant.
    pub alert: Alert,
    /// Who asks, and what else.
    pub requested: Requested,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requests {
    /// All of it is on disk; in the order in which it was asked for.
    Taken(Vec<Taken>),
    /// It was asked before under the same key: this is what was answered then.
    Replayed(Vec<Taken>),
    /// Something else was asked before under the same key. Nothing was stored.
    OtherBefore,
}

impl Store {
    /// Takes what a caller of the API asks for: what this answers is on disk.
    pub async fn request(&self, request: Request) -> Result<Requests, StoreError> {
        let requests = self.writer.try_write(move |tx| take(tx, &request)).await?;
        if let Requests::Taken(taken) = &requests {
            let is_new = |taken: &&Taken| matches!(taken, Taken::Stands { is_known: false, .. });
            self.tell_of_new(u64::try_from(taken.iter().filter(is_new).count()).unwrap_or(u64::MAX));
        }
        Ok(requests)
    }
}

fn take(tx: &Transaction<'_>, request: &Request) -> Result<Requests, StoreError> {
    if let Some(kept) = request.once.as_ref().map(|once| idempotency::find(tx, once)).transpose()?.flatten() {
        // A newer version may take more or less of the same body.
        let is_same = kept.request == request.asked && kept.answer.len() == request.actions.len();
        return Ok(if is_same { Requests::Replayed(kept.answer) } else { Requests::OtherBefore });
    }
    let delivery_id = keep_body(tx, request)?;
    let taken: Result<Vec<Taken>, StoreError> =
        request.actions.iter().map(|wanted| keep(tx, request, delivery_id, wanted)).collect();
    let taken = taken?;
    if let Some(once) = &request.once {
        idempotency::keep(tx, once, &request.asked, &taken, request.now)?;
    }
    Ok(Requests::Taken(taken))
}

/// Keeps the body, unless it is there; returns its delivery, which names all alerts that it was ever read as.
fn keep_body(tx: &Transaction<'_>, request: &Request) -> Result<DeliveryId, StoreError> {
    let delivery = &request.delivery;
    let accept = Accept {
        delivery: delivery.clone(),
        alerts: request.actions.iter().map(|wanted| wanted.alert.clone()).collect(),
        refused: Vec::new(),
        references: Vec::new(),
        notices: Vec::new(),
        now: request.now,
    };
    let new_id = DeliveryId::new(new_uuid(request.now));
    if keep_delivery(tx, new_id, &accept)? {
        return Ok(new_id);
    }
    let known = known_delivery(tx, delivery)?.id;
    add_alerts(tx, known, &accept.alerts)?;
    Ok(known)
}

/// Adds to a delivery what it is read as now: an alert may have the id of the request instead of one in the body. Retention keeps the
/// delivery as long as one of its alerts.
fn add_alerts(tx: &Transaction<'_>, id: DeliveryId, alerts: &[Alert]) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached("SELECT alert_ids FROM deliveries WHERE id = ?1")?;
    let mut rows = statement.query([id.to_string()])?;
    let row = rows.next()?.ok_or_else(|| StoreError::Corrupt(format!("delivery {id} is not there")))?;
    let mut ids: Vec<String> = Columns(row).json("alert_ids")?;
    let before = ids.len();
    for new in alert_ids(alerts) {
        if !ids.iter().any(|had| had == new) {
            ids.push(new.to_owned());
        }
    }
    if ids.len() > before {
        tx.prepare_cached("UPDATE deliveries SET alert_ids = ?2 WHERE id = ?1")?
            .execute(params![id.to_string(), to_json(&ids)?])?;
    }
    Ok(())
}

/// Keeps one action, unless the alert has its pair already. Who asks for a new one is in the audit.
fn keep(
    tx: &Transaction<'_>,
    request: &Request,
    delivery_id: DeliveryId,
    wanted: &Wanted,
) -> Result<Taken, StoreError> {
    let Wanted { alert, requested } = wanted;
    let source = request.delivery.source();
    let batch = Batch {
        delivery_id,
        source,
        alerts: std::slice::from_ref(alert),
        refused: &[],
        references: &[],
        notices: &[],
        who: &requested.by,
        requested: Some(requested),
        now: request.now,
    };
    let mut new = Vec::new();
    keep_alert(tx, &batch, alert, &mut new)?;
    let Some(id) = new.first().copied() else {
        let pair = alert.targets.first();
        let known =
            pair.map(|pair| known_pair::find(tx, &batch, &alert.alert_id, pair)).transpose()?.flatten();
        return Ok(known.map_or(Taken::Gone, |(id, state)| Taken::Stands { id, state, is_known: true }));
    };
    let done = Administered {
        action: Some(id),
        to: Some(format!("source {source}")),
        reason: requested.note.clone(),
        after: requested.mode_max.map(|mode| format!("mode {mode} at most")),
        ..Administered::new(&requested.by, Act::RequestAction, request.now)
    };
    audit::administered(tx, &done)?;
    Ok(Taken::Stands { id, state: State::Accepted, is_known: false })
}
