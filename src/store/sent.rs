//! Whether something was sent for an action before.

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::alert::{Action, Target};

use super::{StoreError, remembered};

/// Says in SQL whether an action of this table's name was sent, or another machine action stands for it. What was cancelled
/// before it was sent was not.
pub(super) fn was_sent(action: &str) -> String {
    format!(
        "({action}.state IN ('sending', 'uncertain', 'submitted', 'succeeded', 'failed', 'timed_out', 'superseded', 'rejected')
         OR ({action}.state = 'cancelled' AND {action}.machine_action_id IS NOT NULL))"
    )
}

/// Says by which other action of the same alert, there or deleted, this target was acted on, if it was.
pub(super) fn already(
    tx: &Transaction<'_>,
    action: &Action,
    target: Target,
) -> Result<Option<String>, StoreError> {
    if let Some(twin) = before(tx, action, target)? {
        return Ok(Some(format!("action {twin} of the same alert was sent for this device and file")));
    }
    let why = "an action of the same alert was sent for this device and file; retention has deleted it";
    Ok(remembered::was_sent(tx, action, target)?.then(|| why.to_owned()))
}

/// Finds another action of the same alert that was sent for the same target: an alert may name a device or a file in two
/// ways, and each makes an action of its own. Another try is of one that has come to nothing: for it only that counts which may
/// still act, or has done it.
fn before(tx: &Transaction<'_>, action: &Action, target: Target) -> Result<Option<String>, StoreError> {
    let was_sent = match action.retry_of {
        None => was_sent("b"),
        Some(_) => "b.state IN ('sending', 'uncertain', 'submitted', 'succeeded')".to_owned(),
    };
    let id = action.id;
    let mut statement = tx.prepare_cached(&format!(
        "SELECT b.id FROM actions a JOIN actions b ON b.alert_seq = a.alert_seq AND b.seq <> a.seq
         WHERE a.id = ?1 AND b.machine_id = ?2 AND b.sha1 = ?3 AND {was_sent}"
    ))?;
    let found = statement
        .query_row(params![id.to_string(), target.machine_id.to_string(), target.sha1.to_string()], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(found)
}
