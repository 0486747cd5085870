//! What came of an intent: the answer to its call, or that the service stopped before there was one.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{Advance, Api, Change, Moment, Outcome, Patch, State, Who, millis};
use crate::audit::Deed;

use super::calls::{self, LateCall};
use super::rows::Columns;
use super::{Store, StoreError, advance, audit};

impl Store {
    /// Records how a call ended, and where that takes its action.
    pub async fn record_outcome(
        &self,
        attempt: u32,
        outcome: Outcome,
        advance: Advance,
        (now, late): (Timestamp, Option<LateCall>),
    ) -> Result<(), StoreError> {
        let write = move |tx: &Transaction<'_>| {
            late.iter().try_for_each(|late| calls::count_late(tx, late))?;
            record(tx, attempt, &outcome, &advance, now)
        };
        self.writer.write(write).await
    }
}

/// Records how a call ended and where that takes its action.
fn record(
    tx: &Transaction<'_>,
    attempt: u32,
    outcome: &Outcome,
    advance: &Advance,
    now: Timestamp,
) -> Result<(), StoreError> {
    let refusal = outcome.refusal();
    let status = match outcome {
        Outcome::Unknown { status, .. } => *status,
        _ => refusal.map(|refusal| refusal.status),
    };
    let said = match outcome {
        Outcome::NotSent { why } | Outcome::Unknown { why, .. } => Some(why.as_str()),
        _ => refusal.map(|refusal| refusal.message.as_str()),
    };
    tx.prepare_cached(
        "UPDATE attempts SET ended_at = ?3, outcome = ?4, http_status = ?5, code = ?6, message = ?7,
             correlation_id = ?8
         WHERE n = ?2 AND action_seq = (SELECT seq FROM actions WHERE id = ?1)",
    )?
    .execute(params![
        advance.action.to_string(),
        attempt,
        millis(now),
        outcome.as_str(),
        status,
        refusal.map(|refusal| refusal.code.as_str()),
        said,
        refusal.and_then(|refusal| refusal.correlation_id.as_deref()),
    ])?;
    // The answer is recorded also where somebody else has moved the action meanwhile.
    let moves = if advance::unrecorded(tx, advance)? { audit::moves(advance) } else { Vec::new() };
    let answer = audit::answered(outcome.as_str(), status, said, refusal);
    audit::about(tx, advance.action, now, &Who::Defender, Deed::Outcome { attempt, answer, moves })
}

/// Turns every `sending` into `uncertain`, and makes all of these due for a look.
pub(super) fn settle_after_restart(tx: &Transaction<'_>, now: Moment) -> Result<usize, StoreError> {
    let at = now.at;
    let mut statement = tx.prepare_cached("SELECT id FROM actions WHERE state = 'sending'")?;
    let mut found = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(Columns(row).parsed("id")?);
    }
    for id in &ids {
        let why = "the service stopped before the answer came; Defender's list will tell";
        let change = Change {
            at,
            from: Some(State::Sending),
            to: State::Uncertain,
            why: why.to_owned(),
            who: Who::Bridge,
            facts: Vec::new(),
        };
        let patch = Patch { next_at: Some(at), ..Patch::default() };
        let advance = Advance { action: *id, expected: State::Sending, changes: vec![change], patch };
        advance::apply(tx, &advance)?;
    }
    tx.prepare_cached("UPDATE actions SET next_at = ?1 WHERE state = 'uncertain' AND next_at > ?1")?
        .execute([millis(at)])?;
    // It is not known when these calls left: before this start, at the latest.
    calls::record(tx, &vec![(Api::Quarantine, now); ids.len()])?;
    Ok(ids.len())
}
