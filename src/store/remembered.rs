//! What retention has deleted and a duplicate must still be known by, as digests: deliveries, pairs, targets.

use jiff::Timestamp;
use rusqlite::{Transaction, params};
use sha2::{Digest as _, Sha256};

use crate::alert::{Action, AlertId, DeliveryId, SourceName, Target, millis};

use super::StoreError;
use super::rows::Columns;

/// A delivery whose rows are gone.
pub(super) struct KnownDelivery {
    pub(super) id: DeliveryId,
    pub(super) body_sha256: [u8; 32],
}

/// Names a delivery, a pair of an alert, or a target that an alert's action was sent for.
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of_delivery(source: &str, delivery_key: &str) -> Self {
        Self::of(&["delivery", source, delivery_key])
    }

    pub(super) fn of_pair(source: &str, alert_id: &str, pair_key: &str) -> Self {
        Self::of(&["pair", source, alert_id, pair_key])
    }

    pub(super) fn of_target(source: &str, alert_id: &str, machine_id: &str, sha1: &str) -> Self {
        Self::of(&["target", source, alert_id, machine_id, sha1])
    }

    fn of(parts: &[&str]) -> Self {
        let mut key = Sha256::new();
        for part in parts {
            key.update(part.len().to_be_bytes());
            key.update(part);
        }
        Self(key.finalize().into())
    }

    /// Remembers it, from then on.
    pub(super) fn remember(&self, tx: &Transaction<'_>, at: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO remembered (key, at) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET at = ?2";
        tx.prepare_cached(sql)?.execute(params![self.0, at])?;
        Ok(())
    }

    /// Remembers a delivery, from when it came.
    pub(super) fn remember_delivery(
        &self,
        tx: &Transaction<'_>,
        received_at: i64,
        delivery: &KnownDelivery,
    ) -> Result<(), StoreError> {
        tx.prepare_cached(
            "INSERT INTO remembered (key, at, delivery_id, body_sha256) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![self.0, received_at, delivery.id.to_string(), delivery.body_sha256])?;
        Ok(())
    }

    fn is_remembered(&self, tx: &Transaction<'_>) -> Result<bool, StoreError> {
        Ok(tx.prepare_cached("SELECT 1 FROM remembered WHERE key = ?1")?.exists([self.0])?)
    }
}

/// Finds a delivery whose rows are gone.
pub(super) fn delivery(
    tx: &Transaction<'_>,
    source: &SourceName,
    delivery_key: &str,
) -> Result<Option<KnownDelivery>, StoreError> {
    let key = Key::of_delivery(source.as_str(), delivery_key);
    let mut statement =
        tx.prepare_cached("SELECT delivery_id, body_sha256 FROM remembered WHERE key = ?1")?;
    let mut rows = statement.query([key.0])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let columns = Columns(row);
    Ok(Some(KnownDelivery { id: columns.parsed("delivery_id")?, body_sha256: columns.raw("body_sha256")? }))
}

/// Says whether the alert had an action for this pair whose row is gone.
pub(super) fn knows_pair(
    tx: &Transaction<'_>,
    source: &SourceName,
    alert_id: &AlertId,
    pair_key: &str,
) -> Result<bool, StoreError> {
    Key::of_pair(source.as_str(), alert_id.as_str(), pair_key).is_remembered(tx)
}

/// Says whether another action of the same alert, whose row is gone, was sent for this target.
pub(super) fn was_sent(tx: &Transaction<'_>, action: &Action, target: Target) -> Result<bool, StoreError> {
    let (machine_id, sha1) = (target.machine_id.to_string(), target.sha1.to_string());
    Key::of_target(action.source.as_str(), action.alert_id.as_str(), &machine_id, &sha1).is_remembered(tx)
}

/// Forgets what is older than the window; returns how much that was, at most so much.
pub(super) fn forget(tx: &Transaction<'_>, until: Timestamp, limit: u32) -> Result<usize, StoreError> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM remembered WHERE key IN
             (SELECT key FROM remembered WHERE at <= ?1 ORDER BY at LIMIT ?2)",
    )?;
    Ok(statement.execute(params![millis(until), limit])?)
}
