//! What comes next for an action that is not decided: a question to Defender, or its decision. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{
    Action, Advance, Change, HeldReason, Patch, Question, State, Target, Unresolved, Who, after,
};
use crate::policy::{self, Answer, Approvals, Candidate, Decision, Facts, HOLD_LIMIT, Policy, Undecided};

use super::facts::{Gathered, LearnedBy, gather};
use super::resolve::{Given, Known, Resolution, Rules, resolve};

/// How long an action is looked for if its alert says no time by which it would be too old.
const LOOK_LIMIT: SignedDuration = SignedDuration::from_hours(24);

/// What is configured for a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceRules<'a> {
    pub(super) policy: &'a Policy,
    pub(super) rules: &'a Rules,
}

/// What comes next for an action.
#[derive(Debug)]
pub(super) enum Next {
    /// These must be asked first.
    Ask(Vec<Question>),
    /// It can be decided.
    Ready(Box<Undecided>),
}

/// Returns what is known of an action once it can be decided. One whose source is not configured any more can be, and is
/// held.
pub(super) fn next(
    action: &Action,
    source: Option<SourceRules<'_>>,
    known: &Known<'_>,
    learned: &LearnedBy<'_>,
    now: Timestamp,
) -> Next {
    let ready = |found, facts| {
        let policy = source.map(|source| source.policy.clone());
        Next::Ready(Box::new(Undecided { action: action.clone(), policy, found, facts }))
    };
    let Some(source) = source else {
        return ready(Err(not_looked_up()), Facts::default());
    };
    let given = Given {
        pair: &action.pair,
        occurred_at: action.occurred_at,
        completion: action.completion.as_ref(),
        rules: source.rules,
        now,
    };
    let over = |found: &Found| is_over(action, found.as_ref().map(|(target, _)| *target), source.policy, now);
    let found = match resolve(&given, known) {
        Resolution::Ask(question) => {
            let found = Err(not_looked_up());
            return if over(&found) { ready(found, Facts::default()) } else { Next::Ask(vec![question]) };
        }
        Resolution::Resolved(target, lines) => Ok((target, lines)),
        Resolution::Unresolved(unresolved) => Err(unresolved),
    };
    // Without a target there is nothing to learn, and what is denied or too late anyway needs no facts.
    let target = match &found {
        Ok((target, _)) if !over(&found) => *target,
        _ => return ready(found, Facts::default()),
    };
    match gather(action, target, &source.policy.guards, learned, now) {
        Gathered::Ask(questions) => Next::Ask(questions),
        Gathered::All(facts) => ready(found, *facts),
    }
}

type Found = Result<(Target, Vec<String>), Unresolved>;

/// Says whether the action is denied or too late whatever Defender would say: then nothing is asked for it.
fn is_over(action: &Action, target: Result<Target, &Unresolved>, policy: &Policy, now: Timestamp) -> bool {
    let candidate = Candidate::of(action, target.map_err(Clone::clone));
    let verdict = policy::decide(&candidate, &Facts::default(), &Approvals::default(), policy, now);
    matches!(
        verdict.decision,
        Decision::Deny | Decision::Expire | Decision::Shadow(Answer::Deny | Answer::Expire)
    )
}

fn not_looked_up() -> Unresolved {
    Unresolved::new(HeldReason::NotLookedUp, "whatever it names, the alert is not acted on")
}

/// Puts an accepted action among those whose device or file is looked for, until it grows too old.
pub(super) fn look_for(action: &Action, policy: Option<&Policy>, now: Timestamp) -> Advance {
    let fresh = action.fresh_since().zip(policy).map(|(at, policy)| after(at.min(now), policy.max_age));
    let change = Change {
        at: now,
        from: Some(State::Accepted),
        to: State::Resolving,
        why: "looking for device and file".to_owned(),
        who: Who::Bridge,
        facts: Vec::new(),
    };
    let expires_at = fresh.unwrap_or(after(now, LOOK_LIMIT));
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
