//! Decides actions in the transaction that writes what was decided: our own records cannot change in between.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Transaction;

use crate::policy::{Decided, Undecided, decided};

use super::ledger::Counted;
use super::{Store, StoreError};
use super::{advance, approvals, audit, blast_breaker, words};

impl Store {
    /// Decides actions, one after the other, and moves them; `None` for those that somebody else has moved meanwhile.
    ///
    /// `steady` is the time by the clock that cannot be set.
    pub async fn decide(
        &self,
        undecided: Arc<Vec<Undecided>>,
        now: Timestamp,
        steady: Timestamp,
    ) -> Result<Vec<Option<Decided>>, StoreError> {
        self.writer.write(move |tx| undecided.iter().map(|one| decide(tx, one, now, steady)).collect()).await
    }
}

/// Decides an action and moves it; `None` if somebody else has moved it meanwhile.
///
/// `steady` is the time by the clock that cannot be set.
fn decide(
    tx: &Transaction<'_>,
    undecided: &Undecided,
    now: Timestamp,
    steady: Timestamp,
) -> Result<Option<Decided>, StoreError> {
    let mut facts = undecided.facts.clone();
    let target = undecided.found.as_ref().ok().map(|(target, _)| *target);
    let counted = target.zip(undecided.policy.as_ref());
    let counted =
        counted.map(|(target, policy)| Counted { action: &undecided.action, target, policy, at: steady });
    if let Some(counted) = counted {
        facts.own = counted.facts(tx)?;
    }
    let decided = decided(undecided, &facts, &words::approvals(tx, undecided.action.id)?, now);
    if !advance::unrecorded(tx, &decided.advance)? {
        return Ok(None);
    }
    approvals::keep_holds(tx, undecided.action.id, &decided.verdict)?;
    blast_breaker::heed(tx, undecided.action.id, &decided.verdict, now)?;
    audit::decided(tx, &decided.advance, undecided.policy.as_ref(), now)?;
    if let Some(counted) = counted.filter(|_| decided.verdict.would_be_sent()) {
        counted.keep(tx)?;
    }
    Ok(Some(decided))
}
