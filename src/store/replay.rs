//! Takes what a format now reads from a delivery that is on disk already.

use jiff::Timestamp;
use rusqlite::Transaction;

use crate::alert::{Alert, DeliveryId, GraphAlertId, RefusedAlert, SourceName, SubscriptionNotice, Who};
use crate::audit::Act;

use super::StoreError;
use super::accept::{Receipt, alert_ids, keep_alerts, renew_delivery};
use super::audit::{self, Administered};
use super::batch::Batch;
use super::rows::Columns;

/// What a kept delivery is now read as.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The alerts read from it.
    pub alerts: Vec<Alert>,
    /// What could not be read from it.
    pub refused: Vec<RefusedAlert>,
    /// Alerts that it only refers to, to be fetched.
    pub references: Vec<GraphAlertId>,
    /// What it tells about a subscription.
    pub notices: Vec<SubscriptionNotice>,
    /// Who asked for it.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

/// Accepts what is new in a kept delivery; `None` if there is no such delivery.
///
/// What it brought before stays: a format that reads less now takes nothing back.
pub(super) fn replay(tx: &Transaction<'_>, replay: &Replay) -> Result<Option<Receipt>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT source, alert_ids FROM deliveries WHERE id = ?1")?;
    let mut rows = statement.query([replay.delivery_id.to_string()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let source: SourceName = Columns(row).parsed("source")?;
    let before: Vec<String> = Columns(row).json("alert_ids")?;
    let batch = Batch {
        delivery_id: replay.delivery_id,
        source: &source,
        alerts: &replay.alerts,
        refused: &replay.refused,
        references: &replay.references,
        notices: &replay.notices,
        who: &replay.who,
        requested: None,
        now: replay.now,
    };
    if before.is_empty() || !replay.alerts.is_empty() {
        let mut ids: Vec<&str> = before.iter().map(String::as_str).collect();
        ids.extend(alert_ids(&replay.alerts).into_iter().filter(|id| !before.iter().any(|had| had == id)));
        renew_delivery(tx, &batch, &ids)?;
    }
    let done = Administered {
        to: Some(format!("delivery {}", replay.delivery_id)),
        ..Administered::new(&replay.who, Act::ReplayDelivery, replay.now)
    };
    audit::administered(tx, &done)?;
    keep_alerts(tx, &batch).map(Some)
}
