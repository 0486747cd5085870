//! Resolves and decides an action. Pure.

use jiff::Timestamp;

use crate::alert::{
    Action, Advance, Change, HeldReason, Patch, Question, State, Target, Unresolved, Who, after,
};
use crate::policy::{self, Answer, Candidate, Decision, HOLD_LIMIT, Policy, Verdict};

use super::resolve::{Given, Known, Resolution, Rules, resolve};

/// What is configured for a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceRules<'a> {
    pub(super) policy: &'a Policy,
    pub(super) rules: &'a Rules,
}

/// What comes next for an action.
#[derive(Debug)]
pub(super) enum Next {
    /// This must be asked first.
    Ask(Question),
    /// It is decided.
    Decided(Box<Decided>),
}

/// A decision and the move that it means.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) verdict: Verdict,
    pub(super) unresolved: Option<HeldReason>,
    pub(super) advance: Advance,
}

/// Decides an action as far as what is known allows. An action whose source is not configured any more is held.
pub(super) fn decide(
    action: &Action,
    source: Option<SourceRules<'_>>,
    known: &Known<'_>,
    now: Timestamp,
) -> Next {
    let Some(source) = source else {
        return Next::Decided(Box::new(decided(action, None, Err(not_looked_up()), now)));
    };
    let given = Given {
        pair: &action.pair,
        occurred_at: action.occurred_at,
        completion: action.completion.as_ref(),
        rules: source.rules,
        now,
    };
    let target = match resolve(&given, known) {
        Resolution::Ask(question) if !is_over(action, source.policy, now) => return Next::Ask(question),
        Resolution::Ask(_) => Err(not_looked_up()),
        Resolution::Resolved(target, facts) => Ok((target, facts)),
        Resolution::Unresolved(unresolved) => Err(unresolved),
    };
    Next::Decided(Box::new(decided(action, Some(source.policy), target, now)))
}

/// Says whether the action is denied or too late whatever its target is: then nothing is looked up for it.
fn is_over(action: &Action, policy: &Policy, now: Timestamp) -> bool {
    let verdict = policy::decide(&Candidate::of(action, Err(not_looked_up())), policy, now);
    matches!(
        verdict.decision,
        Decision::Deny | Decision::Expire | Decision::Shadow(Answer::Deny | Answer::Expire)
    )
}

fn not_looked_up() -> Unresolved {
    Unresolved::new(HeldReason::NotLookedUp, "whatever it names, the alert is not acted on")
}

fn decided(
    action: &Action,
    policy: Option<&Policy>,
    found: Result<(Target, Vec<String>), Unresolved>,
    now: Timestamp,
) -> Decided {
    let (why, facts) = match &found {
        Ok((_, facts)) => ("device and file are known".to_owned(), facts.clone()),
        Err(unresolved) => (unresolved.evidence.clone(), vec![format!("reason: {}", unresolved.reason)]),
    };
    let target = found.map(|(target, _)| target);
    let verdict = match policy {
        Some(policy) => policy::decide(&Candidate::of(action, target.clone()), policy, now),
        None => policy::source_unknown(),
    };
    let change =
        |from, to, why: String, facts| Change { at: now, from: Some(from), to, why, who: Who::Bridge, facts };
    let mut changes = Vec::new();
    if action.state == State::Accepted {
        changes.push(change(
            State::Accepted,
            State::Resolving,
            "looking for device and file".to_owned(),
            vec![],
        ));
    }
    changes.push(change(State::Resolving, State::Decided, why, facts));
    changes.push(change(State::Decided, verdict.state(), verdict.reason.clone(), verdict.facts()));
    let expires_at = match verdict.decision {
        Decision::Hold => Some(after(now, HOLD_LIMIT)),
        Decision::Send => action.fresh_since().zip(policy).map(|(at, policy)| after(at, policy.max_age)),
        Decision::Deny | Decision::Expire | Decision::Shadow(_) => None,
    };
    let unresolved = target.as_ref().err().map(|unresolved| unresolved.reason);
    let held_reason = unresolved.filter(|reason| *reason != HeldReason::NotLookedUp);
    let patch =
        Patch { target: target.ok(), expires_at, next_at: Some(now), held_reason, ..Patch::default() };
    let advance = Advance { action: action.id, expected: action.state, changes, patch };
    Decided { verdict, unresolved: held_reason, advance }
}

/// Puts an accepted action among those whose device or file is looked for, until it grows too old.
pub(super) fn look_for(action: &Action, policy: Option<&Policy>, now: Timestamp) -> Advance {
    let fresh = action.fresh_since().zip(policy).map(|(at, policy)| after(at, policy.max_age));
    let change = Change {
        at: now,
        from: Some(State::Accepted),
        to: State::Resolving,
        why: "looking for device and file".to_owned(),
        who: Who::Bridge,
        facts: Vec::new(),
    };
    let expires_at = fresh.unwrap_or(after(now, HOLD_LIMIT));
    let patch = Patch { expires_at: Some(expires_at), next_at: Some(now), ..Patch::default() };
    Advance { action: action.id, expected: State::Accepted, changes: vec![change], patch }
}

/// Lets an action that is looked for wait until then.
pub(super) fn wait(action: &Action, until: Timestamp) -> Advance {
    let patch = Patch { next_at: Some(until), ..Patch::default() };
    Advance { action: action.id, expected: State::Resolving, changes: Vec::new(), patch }
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
