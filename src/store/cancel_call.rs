//! The durable record of a cancel call of Defender, and what came of it.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{ActionId, CancelOutcome, MachineActionId, State, Who, millis};
use crate::audit::Deed;

use super::cancel::{self, CancelNote};
use super::kept_action;
use super::{StoreError, audit};

/// The proof that a cancel call is on disk: who wants it, why, and that it is made now.
///
/// Only the store can make one, it cannot be copied, and the cancel call takes it by value, as the quarantine call does
/// with its intent.
///
/// A second use does not compile:
///
/// ```compile_fail,E0382
/// use quarantine_bridge::store::RecordedCancel;
/// fn used_twice(cancel: RecordedCancel) -> u32 { drop_it(cancel) + drop_it(cancel) }
/// fn drop_it(cancel: RecordedCancel) -> u32 { cancel.tries() }
/// ```
///
/// Nobody else can make one:
///
/// ```compile_fail,E0451
/// use quarantine_bridge::store::RecordedCancel;
/// fn forged(real: RecordedCancel) -> RecordedCancel { RecordedCancel { tries: 2, ..real } }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct RecordedCancel {
    action: ActionId,
    machine_action: MachineActionId,
    comment: String,
    tries: u32,
}

impl RecordedCancel {
    /// The action it is for.
    pub fn action(&self) -> ActionId {
        self.action
    }

    /// Defender's record that is to be cancelled.
    pub fn machine_action(&self) -> &MachineActionId {
        &self.machine_action
    }

    /// The comment to send.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Which call it is since the cancellation was last asked for, from 1.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

/// Records a cancel call, if it is still wanted and no other action of ours wants the machine action to go on.
pub(super) fn record(
    tx: &Transaction<'_>,
    id: ActionId,
    now: Timestamp,
) -> Result<Option<RecordedCancel>, StoreError> {
    let Some(action) = kept_action::load(tx, id)? else {
        return Ok(None);
    };
    let wanted = cancel::find(tx, id)?.filter(|wish| wish.next_at.is_some_and(|at| at <= now));
    let (State::Submitted, Some(machine_action), Some(wish)) = (action.state, action.machine_action, wanted)
    else {
        return Ok(None);
    };
    if cancel::sharers(tx, id)?.iter().any(|sharer| sharer.still_wants_it) {
        return Ok(None);
    }
    tx.prepare_cached(
        "UPDATE cancellations SET calls = calls + 1, tries = tries + 1, unlisted = 0, called_at = ?2,
             ended_at = NULL, outcome = NULL, http_status = NULL, code = NULL, message = NULL, correlation_id = NULL
         WHERE action_seq = (SELECT seq FROM actions WHERE id = ?1)",
    )?
    .execute(params![id.to_string(), millis(now)])?;
    let comment = format!("Cancelled by {}: {}", wish.by, wish.reason);
    let tries = wish.tries.saturating_add(1);
    let deed = Deed::CancelCall { attempt: tries, comment: comment.clone() };
    audit::about(tx, id, now, &wish.by, deed)?;
    Ok(Some(RecordedCancel { action: id, machine_action: machine_action.id, comment, tries }))
}

/// Records how a cancel call ended, and when to look at Defender's list again.
pub(super) fn record_outcome(
    tx: &Transaction<'_>,
    outcome: &CancelOutcome,
    note: &CancelNote,
    (look_at, now): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let refusal = outcome.refusal();
    let status = match outcome {
        CancelOutcome::Unknown { status, .. } => *status,
        _ => refusal.map(|refusal| refusal.status),
    };
    let said = match outcome {
        CancelOutcome::NotSent { why } | CancelOutcome::Unknown { why, .. } => Some(why.as_str()),
        _ => refusal.map(|refusal| refusal.message.as_str()),
    };
    tx.prepare_cached(
        "UPDATE cancellations SET ended_at = ?2, outcome = ?3, http_status = ?4, code = ?5, message = ?6,
             correlation_id = ?7
         WHERE action_seq = (SELECT seq FROM actions WHERE id = ?1)",
    )?
    .execute(params![
        note.action.to_string(),
        millis(now),
        outcome.as_str(),
        status,
        refusal.map(|refusal| refusal.code.as_str()),
        said,
        refusal.and_then(|refusal| refusal.correlation_id.as_deref()),
    ])?;
    let answer = audit::answered(outcome.as_str(), status, said, refusal);
    audit::about(tx, note.action, now, &Who::Defender, Deed::CancelOutcome { answer })?;
    cancel::note(tx, note)?;
    cancel::look_soon(tx, note.action, State::Submitted, look_at)
}
