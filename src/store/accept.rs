//! Accepts a delivery: recognises duplicates and stores the rest, in one transaction.

use std::borrow::Cow;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::alert::{
    ActionId, Alert, AlertId, DeliveryId, EntityPair, GraphAlertId, RefusedAlert, Severity, SourceName,
    State, SubscriptionNotice, Traceparent, Who, millis,
};
use crate::ingest::Verified;

use super::StoreError;
use super::batch::Batch;
use super::fetches::{self, WantedFetch};
use super::known_pair;
use super::new_action::{NewAction, told_first};
use super::remembered;
use super::rows::{Columns, new_uuid, to_json};

/// A delivery to accept.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The delivery, its sender proven.
    pub delivery: Verified,
    /// The alerts read from it.
    pub alerts: Vec<Alert>,
    /// What could not be read from it.
    pub refused: Vec<RefusedAlert>,
    /// Alerts that it only refers to, to be fetched.
    pub references: Vec<GraphAlertId>,
    /// What it tells about a subscription.
    pub notices: Vec<SubscriptionNotice>,
    /// Now.
    pub now: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It brought at least one new action, an alert to fetch, or a notice.
    New(Accepted),
    /// All of it was here already.
    Duplicate(Accepted),
    /// Nothing in it can become an action; it is kept.
    Refused(DeliveryId),
    /// Another body came under the same signed id before. Nothing was stored.
    Conflict(DeliveryId),
}

/// A delivery on disk, with its actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Our id of the delivery.
    pub delivery_id: DeliveryId,
    /// Its alerts.
    pub alerts: Vec<AcceptedAlert>,
    /// The alerts that it refers to.
    pub fetches: Vec<WantedFetch>,
}

impl Accepted {
    /// Returns how many actions the delivery brought.
    pub fn new_actions(&self) -> u64 {
        let actions = self.alerts.iter().flat_map(|alert| &alert.actions);
        u64::try_from(actions.filter(|action| action.is_new).count()).unwrap_or(u64::MAX)
    }
}

/// An alert on disk, with its actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedAlert {
    /// The sender's id.
    pub alert_id: AlertId,
    /// Its actions, those of earlier deliveries too.
    pub actions: Vec<AcceptedAction>,
}

impl AcceptedAlert {
    /// Says whether this delivery brought nothing new about the alert.
    pub fn is_duplicate(&self) -> bool {
        self.actions.iter().all(|action| !action.is_new)
    }
}

/// An action on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedAction {
    /// Our id.
    pub id: ActionId,
    /// Where it stands.
    pub state: State,
    /// How severe its alert is.
    pub severity: Option<Severity>,
    /// Whether this delivery brought it.
    pub is_new: bool,
}

/// Accepts a delivery.
///
/// What is new, the usual case, is written without looking first: the unique indices tell what is known.
pub(super) fn accept(tx: &Transaction<'_>, accept: &Accept) -> Result<Receipt, StoreError> {
    if let Some(known) =
        remembered::delivery(tx, accept.delivery.source(), &accept.delivery.key().to_string())?
    {
        return again_after_pruning(tx, accept, &known);
    }
    let new_id = DeliveryId::new(new_uuid(accept.now));
    if keep_delivery(tx, new_id, accept)? {
        return keep_alerts(tx, &accept.batch(new_id));
    }
    let known = known_delivery(tx, &accept.delivery)?;
    if known.body_sha256 != *accept.delivery.body_sha256() {
        return Ok(Receipt::Conflict(known.id));
    }
    if known.is_accepted {
        let fetches = fetches::want(tx, &accept.batch(known.id))?;
        let alerts = known_alerts(tx, known.id, accept.delivery.source(), &known.alert_ids)?;
        return Ok(receipt(Accepted { delivery_id: known.id, alerts, fetches }));
    }
    // Refused before, sent again: the format may have been mended meanwhile.
    let batch = accept.batch(known.id);
    renew_delivery(tx, &batch, &alert_ids(&accept.alerts))?;
    keep_alerts(tx, &batch)
}

/// Answers a delivery whose rows are gone: it is known, with what is left of its actions.
fn again_after_pruning(
    tx: &Transaction<'_>,
    accept: &Accept,
    known: &remembered::KnownDelivery,
) -> Result<Receipt, StoreError> {
    if known.body_sha256 != *accept.delivery.body_sha256() {
        return Ok(Receipt::Conflict(known.id));
    }
    let ids: Vec<String> = alert_ids(&accept.alerts).into_iter().map(ToOwned::to_owned).collect();
    let alerts = known_alerts(tx, known.id, accept.delivery.source(), &ids)?;
    Ok(Receipt::Duplicate(Accepted { delivery_id: known.id, alerts, fetches: Vec::new() }))
}

impl Accept {
    fn batch(&self, delivery_id: DeliveryId) -> Batch<'_> {
        Batch {
            delivery_id,
            source: self.delivery.source(),
            alerts: &self.alerts,
            refused: &self.refused,
            references: &self.references,
            notices: &self.notices,
            who: &Who::Source,
            requested: None,
            now: self.now,
        }
    }
}

/// What the forgetful store answers: everything is new.
pub(super) fn as_new(accept: &Accept) -> Receipt {
    let alerts = accept.alerts.iter().map(|alert| {
        let action = |_: &EntityPair| AcceptedAction {
            id: ActionId::new(new_uuid(accept.now)),
            state: State::Accepted,
            severity: alert.severity,
            is_new: true,
        };
        let actions = alert.targets.iter().map(action).collect();
        AcceptedAlert { alert_id: alert.alert_id.clone(), actions }
    });
    let delivery_id = DeliveryId::new(new_uuid(accept.now));
    Receipt::New(Accepted { delivery_id, alerts: alerts.collect(), fetches: Vec::new() })
}

pub(super) struct KnownDelivery {
    pub(super) id: DeliveryId,
    body_sha256: [u8; 32],
    is_accepted: bool,
    alert_ids: Vec<String>,
}

pub(super) fn known_delivery(tx: &Transaction<'_>, delivery: &Verified) -> Result<KnownDelivery, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, body_sha256, outcome, alert_ids FROM deliveries WHERE source = ?1 AND delivery_key = ?2",
    )?;
    let mut rows = statement.query(params![delivery.source().as_str(), delivery.key().to_string()])?;
    let row = rows.next()?.ok_or_else(|| StoreError::Corrupt("a known delivery is not there".to_owned()))?;
    let columns = Columns(row);
    Ok(KnownDelivery {
        id: columns.parsed("id")?,
        body_sha256: columns.raw("body_sha256")?,
        is_accepted: columns.raw::<String>("outcome")? == "accepted",
        alert_ids: columns.json("alert_ids")?,
    })
}

/// Writes the delivery; says whether it was new.
pub(super) fn keep_delivery(
    tx: &Transaction<'_>,
    id: DeliveryId,
    accept: &Accept,
) -> Result<bool, StoreError> {
    let delivery = &accept.delivery;
    let mut statement = tx.prepare_cached(
        "INSERT INTO deliveries (id, source, delivery_key, key_id, signed_at, received_at, body, body_sha256,
             outcome, alert_ids, refused, traceparent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (source, delivery_key) DO NOTHING",
    )?;
    let inserted = statement.execute(params![
        id.to_string(),
        delivery.source().as_str(),
        delivery.key().to_string(),
        delivery.key_id().as_str(),
        delivery.signed_at().map(millis),
        millis(accept.now),
        &delivery.body()[..],
        delivery.body_sha256(),
        accept.batch(id).outcome(),
        to_json(&alert_ids(&accept.alerts))?,
        to_json(&accept.refused)?,
        delivery.traceparent().map(Traceparent::as_str),
    ])?;
    Ok(inserted > 0)
}

/// Writes what is now known of a delivery that is on disk.
pub(super) fn renew_delivery(
    tx: &Transaction<'_>,
    batch: &Batch<'_>,
    alert_ids: &[&str],
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE deliveries SET outcome = ?2, alert_ids = ?3, refused = ?4 WHERE id = ?1")?
        .execute(params![
            batch.delivery_id.to_string(),
            batch.outcome(),
            to_json(&alert_ids)?,
            to_json(&batch.refused)?
        ])?;
    Ok(())
}

pub(super) fn alert_ids(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.alert_id.as_str()).collect()
}

/// Writes the alerts of a delivery that stands.
pub(super) fn keep_alerts(tx: &Transaction<'_>, batch: &Batch<'_>) -> Result<Receipt, StoreError> {
    if batch.is_refused() {
        return Ok(Receipt::Refused(batch.delivery_id));
    }
    let fetches = fetches::want(tx, batch)?;
    let mut new = Vec::new();
    let mut alerts = Vec::new();
    for alert in batch.alerts {
        alerts.push(keep_alert(tx, batch, alert, &mut new)?);
    }
    let accepted = Accepted { delivery_id: batch.delivery_id, alerts, fetches };
    if batch.notices.is_empty() { Ok(receipt(accepted)) } else { Ok(Receipt::New(accepted)) }
}

fn receipt(accepted: Accepted) -> Receipt {
    let is_known = accepted.alerts.iter().all(AcceptedAlert::is_duplicate)
        && accepted.fetches.iter().all(|fetch| !fetch.is_new);
    if is_known { Receipt::Duplicate(accepted) } else { Receipt::New(accepted) }
}

/// Writes an alert that is new, and those of its pairs that are new; adds the ids of new actions to `new`.
pub(super) fn keep_alert(
    tx: &Transaction<'_>,
    batch: &Batch<'_>,
    alert: &Alert,
    new: &mut Vec<ActionId>,
) -> Result<AcceptedAlert, StoreError> {
    let mut pairs = Vec::new();
    for pair in &alert.targets {
        if !known_pair::is_known(tx, batch, &alert.alert_id, pair)? {
            pairs.push(pair);
        }
    }
    if pairs.is_empty() {
        let actions = actions_of_alert(tx, batch.source, &alert.alert_id)?;
        return Ok(AcceptedAlert { alert_id: alert.alert_id.clone(), actions });
    }
    // The sender's later words about an alert do not change what was decided on the first.
    let inserted = tx
        .prepare_cached(
            "INSERT INTO alerts (source, alert_id, severity, title, url, occurred_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (source, alert_id) DO NOTHING RETURNING seq",
        )?
        .query_row(
            params![
                batch.source.as_str(),
                alert.alert_id.as_str(),
                alert.severity.map(Severity::as_str),
                alert.title,
                alert.url,
                alert.occurred_at.map(millis),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let gone = || StoreError::Corrupt("a known alert is not there".to_owned());
    let (alert_seq, alert) = if let Some(seq) = inserted {
        (seq, Cow::Borrowed(alert))
    } else {
        let seq = known_alert(tx, batch.source, &alert.alert_id)?.ok_or_else(gone)?;
        (seq, Cow::Owned(told_first(tx, seq, alert)?))
    };
    let mut actions = Vec::new();
    for pair in pairs {
        let id = ActionId::new(new_uuid(batch.now));
        let action = NewAction { id, alert_seq, batch, alert: &alert, pair, retry_of: None };
        if let Some(action_seq) = action.keep(tx)? {
            action.first_history_row(tx, action_seq)?;
            let severity = alert.severity;
            actions.push(AcceptedAction { id, state: State::Accepted, severity, is_new: true });
            new.push(id);
        }
    }
    if inserted.is_none() {
        actions = known_actions(tx, alert_seq, new)?;
    }
    Ok(AcceptedAlert { alert_id: alert.alert_id.clone(), actions })
}

/// Reads back all actions of the alerts of a delivery that was accepted before.
fn known_alerts(
    tx: &Transaction<'_>,
    delivery_id: DeliveryId,
    source: &SourceName,
    alert_ids: &[String],
) -> Result<Vec<AcceptedAlert>, StoreError> {
    let mut alerts = Vec::new();
    for alert_id in alert_ids {
        let alert_id: AlertId = alert_id
            .parse()
            .map_err(|error| StoreError::Corrupt(format!("alert id of delivery {delivery_id}: {error}")))?;
        let actions = actions_of_alert(tx, source, &alert_id)?;
        alerts.push(AcceptedAlert { alert_id, actions });
    }
    Ok(alerts)
}

/// Reads back the actions of an alert; none if retention has deleted them.
fn actions_of_alert(
    tx: &Transaction<'_>,
    source: &SourceName,
    alert_id: &AlertId,
) -> Result<Vec<AcceptedAction>, StoreError> {
    match known_alert(tx, source, alert_id)? {
        Some(alert_seq) => known_actions(tx, alert_seq, &[]),
        None => Ok(Vec::new()),
    }
}

fn known_alert(
    tx: &Transaction<'_>,
    source: &SourceName,
    alert_id: &AlertId,
) -> Result<Option<i64>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT seq FROM alerts WHERE source = ?1 AND alert_id = ?2")?;
    let seq = statement.query_row(params![source.as_str(), alert_id.as_str()], |row| row.get(0));
    Ok(seq.optional()?)
}

/// Reads back all actions of an alert; `new` are those that this delivery brought.
fn known_actions(
    tx: &Transaction<'_>,
    alert_seq: i64,
    new: &[ActionId],
) -> Result<Vec<AcceptedAction>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT id, state, severity_rank FROM actions WHERE alert_seq = ?1 ORDER BY seq")?;
    let mut rows = statement.query([alert_seq])?;
    let mut actions = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        let id = columns.parsed("id")?;
        let severity = Severity::from_rank(columns.raw("severity_rank")?);
        actions.push(AcceptedAction {
            id,
            state: columns.parsed("state")?,
            severity,
            is_new: new.contains(&id),
        });
    }
    Ok(actions)
}
