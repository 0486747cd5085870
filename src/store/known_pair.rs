//! By what a pair of an alert is known: an alert has one action for each.
//!
//! What is asked for in mode shadow does nothing, so it uses nothing up: it is known by a key of its own, and the same asked for
//! with more than shadow is a new action. Where that stands already, whoever asks in shadow is told of it.

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::alert::{ActionId, AlertId, EntityPair, Mode, State};

use super::StoreError;
use super::batch::Batch;
use super::remembered;
use super::rows::Columns;

/// Returns the key under which a pair of this batch is kept.
pub(super) fn key(batch: &Batch<'_>, pair: &EntityPair) -> String {
    if is_in_shadow(batch) { format!("shadow {}", pair.key()) } else { pair.key() }
}

fn is_in_shadow(batch: &Batch<'_>) -> bool {
    batch.requested.is_some_and(|requested| requested.mode_max == Some(Mode::Shadow))
}

/// Says whether a pair is known by more than its own row, which tells that by itself: as one that is not in shadow, or as one whose
/// row is gone.
pub(super) fn is_known(
    tx: &Transaction<'_>,
    batch: &Batch<'_>,
    alert_id: &AlertId,
    pair: &EntityPair,
) -> Result<bool, StoreError> {
    if remembered::knows_pair(tx, batch.source, alert_id, &key(batch, pair))? {
        return Ok(true);
    }
    Ok(is_in_shadow(batch)
        && (remembered::knows_pair(tx, batch.source, alert_id, &pair.key())?
            || row(tx, batch, alert_id, &pair.key())?.is_some()))
}

/// Finds the action that an alert has for a pair, as far as this batch is told of it.
pub(super) fn find(
    tx: &Transaction<'_>,
    batch: &Batch<'_>,
    alert_id: &AlertId,
    pair: &EntityPair,
) -> Result<Option<(ActionId, State)>, StoreError> {
    match row(tx, batch, alert_id, &pair.key())? {
        Some(found) => Ok(Some(found)),
        None => row(tx, batch, alert_id, &key(batch, pair)),
    }
}

fn row(
    tx: &Transaction<'_>,
    batch: &Batch<'_>,
    alert_id: &AlertId,
    key: &str,
) -> Result<Option<(ActionId, State)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT a.id, a.state FROM actions a JOIN alerts l ON l.seq = a.alert_seq
         WHERE l.source = ?1 AND l.alert_id = ?2 AND a.pair_key = ?3",
    )?;
    let found = statement.query_row(params![batch.source.as_str(), alert_id.as_str(), key], |row| {
        let columns = Columns(row);
        Ok(columns.parsed("id").and_then(|id| Ok((id, columns.parsed("state")?))))
    });
    found.optional()?.transpose()
}
