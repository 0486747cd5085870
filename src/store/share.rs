//! Finds a machine action that one of our actions has already asked for and another may share.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use crate::alert::{Action, ActionId, AlertId, MachineActionId, MachineActionRef, Target, before, millis};

use super::StoreError;
use super::rows::Columns;

/// One of our actions whose machine action does what another of ours would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Twin {
    pub(super) id: ActionId,
    pub(super) alert_id: AlertId,
    pub(super) machine_action: MachineActionRef,
    /// Defender was asked to cancel it, and it is not known yet whether it does.
    pub(super) is_being_cancelled: bool,
}

/// Finds a twin: under way, or succeeded within the window and made no earlier than this alert happened. A file that was
/// seen again after a quarantine needs another one.
pub(super) fn find(
    tx: &Transaction<'_>,
    action: &Action,
    target: Target,
    window: SignedDuration,
    now: Timestamp,
) -> Result<Option<Twin>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT b.id, l.alert_id, b.machine_action_id, b.machine_action_status, b.machine_action_since,
             b.state = 'submitted' AND EXISTS
                 (SELECT 1 FROM cancellations c
                  WHERE c.action_seq = b.seq AND c.calls > 0 AND c.next_at IS NOT NULL) AS is_being_cancelled
         FROM actions b INDEXED BY actions_sent JOIN alerts l ON l.seq = b.alert_seq
         WHERE b.machine_id = ?1 AND b.sha1 = ?2 AND b.machine_action_id IS NOT NULL AND b.id <> ?3
         AND (b.state = 'submitted'
              OR b.state = 'succeeded' AND b.changed_at >= ?4 AND b.machine_action_since >= ?5)
         ORDER BY is_being_cancelled DESC, b.state = 'submitted' DESC, b.machine_action_since DESC LIMIT 1",
    )?;
    let seen_at = action.occurred_at.unwrap_or(now);
    let mut found = statement.query(params![
        target.machine_id.to_string(),
        target.sha1.to_string(),
        action.id.to_string(),
        millis(before(now, window)),
        millis(seen_at),
    ])?;
    found.next()?.map(|row| twin(&Columns(row))).transpose()
}

fn twin(columns: &Columns<'_, '_>) -> Result<Twin, StoreError> {
    Ok(Twin {
        id: columns.parsed("id")?,
        alert_id: columns.parsed("alert_id")?,
        machine_action: MachineActionRef {
            id: columns.parsed::<MachineActionId>("machine_action_id")?,
            status: columns.raw("machine_action_status")?,
            since: columns.time("machine_action_since")?,
        },
        is_being_cancelled: columns.raw("is_being_cancelled")?,
    })
}
