//! From what is found and known of an action to its verdict, and to the move that it means.

use jiff::Timestamp;

use crate::alert::{Action, Advance, Change, HeldReason, Patch, State, Target, Unresolved, Who, after};

use super::approvals::Approvals;
use super::facts::Facts;
use super::verdict::{Decision, Verdict, decide, source_unknown};
use super::{Candidate, HOLD_LIMIT, Policy};

/// An action about which all is known that Defender can tell.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// The action.
    pub action: Action,
    /// What its source may do; `None` if it is not configured any more.
    pub policy: Option<Policy>,
    /// Device and file and how they were found, or why they were not.
    pub found: Result<(Target, Vec<String>), Unresolved>,
    /// What Defender says. Our own records are read when it is decided.
    pub facts: Facts,
}

/// A verdict and the move that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The verdict.
    pub verdict: Verdict,
    /// Why device or file are not known, if that is so.
    pub unresolved: Option<HeldReason>,
    /// The move.
    pub advance: Advance,
}

/// Decides an action.
pub fn decided(undecided: &Undecided, facts: &Facts, approvals: &Approvals, now: Timestamp) -> Decided {
    let Undecided { action, policy, found, .. } = undecided;
    let (why, lines) = match found {
        Ok((_, lines)) => ("device and file are known".to_owned(), lines.clone()),
        Err(unresolved) => (unresolved.evidence.clone(), vec![format!("reason: {}", unresolved.reason)]),
    };
    let target = found.as_ref().map(|(target, _)| *target).map_err(Clone::clone);
    let verdict = match policy {
        Some(policy) => decide(&Candidate::of(action, target.clone()), facts, approvals, policy, now),
        None => source_unknown(),
    };
    let changes = changes(action, &verdict, (why, lines), now);
    let expires_at = match verdict.decision {
        Decision::Hold => {
            let limit = policy.as_ref().map_or(HOLD_LIMIT, |policy| policy.guards.hold_limit);
            Some(after(now, limit))
        }
        Decision::Send => {
            let fresh_since = action.fresh_since().max(approvals.last_at());
            // One that lies in the future, and was approved, waits no longer than one of now.
            fresh_since.zip(policy.as_ref()).map(|(at, policy)| after(at.min(now), policy.max_age))
        }
        Decision::Deny | Decision::Expire | Decision::Shadow(_) => None,
    };
    let unresolved = target.as_ref().err().map(|unresolved| unresolved.reason);
    let held_reason = unresolved.filter(|reason| *reason != HeldReason::NotLookedUp);
    let patch =
        Patch { target: target.ok(), expires_at, next_at: Some(now), held_reason, ..Patch::default() };
    let advance = Advance { action: action.id, expected: action.state, changes, patch };
    Decided { verdict, unresolved: held_reason, advance }
}

fn changes(
    action: &Action,
    verdict: &Verdict,
    (why, lines): (String, Vec<String>),
    at: Timestamp,
) -> Vec<Change> {
    let change =
        |from, to, why: String, facts| Change { at, from: Some(from), to, why, who: Who::Bridge, facts };
    let mut changes = Vec::new();
    if action.state == State::Accepted {
        let why = "looking for device and file".to_owned();
        changes.push(change(State::Accepted, State::Resolving, why, vec![]));
    }
    changes.push(change(State::Resolving, State::Decided, why, lines));
    changes.push(change(State::Decided, verdict.state(), verdict.reason.clone(), verdict.facts()));
    changes
}
