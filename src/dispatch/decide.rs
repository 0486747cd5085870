//! Resolves and decides an accepted action. Pure.

use jiff::Timestamp;

use crate::alert::{Action, Advance, Change, Patch, State, Who, after};
use crate::policy::{self, Candidate, Decision, HOLD_LIMIT, Policy, Verdict};

/// A decision and the move that it means.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) verdict: Verdict,
    pub(super) advance: Advance,
}

/// Decides an action. An action whose source is not configured any more is held.
pub(super) fn decide(action: &Action, policy: Option<&Policy>, now: Timestamp) -> Decided {
    let target = action.pair.as_given();
    let verdict = match policy {
        Some(policy) => policy::decide(&Candidate::of(action, target), policy, now),
        None => policy::source_unknown(),
    };
    let resolved = match target {
        Ok(_) => "device and file as the alert gives them".to_owned(),
        Err(unresolved) => unresolved.explained().to_owned(),
    };
    let change =
        |from, to, why: String, facts| Change { at: now, from: Some(from), to, why, who: Who::Bridge, facts };
    let changes = vec![
        change(State::Accepted, State::Resolving, "looking for device and file".to_owned(), vec![]),
        change(State::Resolving, State::Decided, resolved, vec![]),
        change(State::Decided, verdict.state(), verdict.reason.clone(), verdict.facts()),
    ];
    let expires_at = match verdict.decision {
        Decision::Hold => Some(after(now, HOLD_LIMIT)),
        Decision::Send => action.occurred_at.zip(policy).map(|(at, policy)| after(at, policy.max_age)),
        Decision::Deny | Decision::Expire | Decision::Shadow(_) => None,
    };
    let patch = Patch { target: target.ok(), expires_at, next_at: Some(now), ..Patch::default() };
    let advance = Advance { action: action.id, expected: State::Accepted, changes, patch };
    Decided { verdict, advance }
}

/// Holds a queued action whose source has left the configuration.
pub(super) fn hold_orphan(action: &Action, now: Timestamp) -> Advance {
    let verdict = policy::source_unknown();
    let change = Change {
        at: now,
        from: Some(action.state),
        to: verdict.state(),
        why: verdict.reason.clone(),
        who: Who::Bridge,
        facts: verdict.facts(),
    };
    let patch = Patch { expires_at: Some(after(now, HOLD_LIMIT)), ..Patch::default() };
    Advance { action: action.id, expected: action.state, changes: vec![change], patch }
}
