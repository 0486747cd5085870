//! The decision: every guard is asked, approvals are held against what holds, and the mode lowers what is left.

use std::fmt;

use jiff::Timestamp;

use crate::alert::{Mode, State};

use super::approvals::Approvals;
use super::facts::Facts;
use super::guard::{Answer, Finding, Guard};
use super::guards::{Case, ask_all, is_a_limit_used_up};
use super::{Candidate, Policy};

/// Policy's answer for one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Call Defender.
    Send,
    /// Wait for a person.
    Hold,
    /// Do not call.
    Deny,
    /// Do not call: it is too late.
    Expire,
    /// Record only; inside is what would have been done.
    Shadow(Answer),
}

impl Decision {
    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Expire => "expire",
            Self::Shadow(_) => "shadow",
        }
    }
}

/// A hold that waits for persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenHold {
    /// Which guard holds.
    pub guard: Guard,
    /// How many persons must approve; `None` if no approval helps, because something is missing.
    pub approvers: Option<u8>,
}

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// Why, in one line for a person.
    pub reason: String,
    /// What every guard found, in order, whatever was approved.
    pub trace: Vec<Finding>,
    /// The holds that are not approved yet, in order. Whoever approves names their guards.
    pub open_holds: Vec<OpenHold>,
    /// How much was done lately, if that is too much for the action to go out without persons. It opens the breaker on blast
    /// radius.
    pub breach: Option<String>,
}

impl Verdict {
    /// Returns the state in which the decision puts an action.
    pub fn state(&self) -> State {
        match self.decision {
            Decision::Send => State::Queued,
            Decision::Hold => State::Held,
            Decision::Deny => State::Denied,
            Decision::Expire => State::Expired,
            Decision::Shadow(_) => State::Shadowed,
        }
    }

    /// Returns what every guard found, a line a guard.
    pub fn facts(&self) -> Vec<String> {
        self.trace.iter().map(Finding::line).collect()
    }

    /// Says whether an action of a shadow source would have been sent, if the persons who approve the first ones of a new
    /// source had done so. Such an action counts against the limits of shadow sources.
    pub fn would_be_sent(&self) -> bool {
        let passes = |finding: &Finding| {
            finding.answer == Answer::Pass
                || finding.answer == Answer::Hold && finding.guard == Guard::FirstActions
        };
        matches!(self.decision, Decision::Shadow(_)) && self.trace.iter().all(passes)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.decision.as_str(), self.reason)
    }
}

/// Decides one action.
///
/// Every guard is asked. Approvals satisfy the holds that they name, never a denial and never the alert's age. Of what is
/// left the strictest answer wins, and the first guard that gave it is the reason. The mode lowers that, and changes
/// nothing of what the guards find.
pub fn decide(
    candidate: &Candidate,
    facts: &Facts,
    approvals: &Approvals,
    policy: &Policy,
    now: Timestamp,
) -> Verdict {
    let facts = facts.as_of(now, policy.guards.facts_max_age);
    let case = Case { candidate, facts: &facts, approvals, policy, now };
    let trace = ask_all(&case);
    let left = |finding: &Finding| match finding.answer {
        Answer::Hold if approvals.satisfy(finding.guard, finding.approvers) => Answer::Pass,
        answer => answer,
    };
    let strictest = trace.iter().map(left).max().unwrap_or(Answer::Hold);
    let first = trace.iter().find(|finding| left(finding) == strictest);
    let guarded = first.map_or_else(String::new, |finding| finding.evidence.clone());
    let open = trace.iter().filter(|finding| left(finding) == Answer::Hold);
    let mut open_holds: Vec<_> =
        open.map(|finding| OpenHold { guard: finding.guard, approvers: finding.approvers }).collect();
    let mode = policy.mode_within(candidate.mode_max);
    let by_mode = policy.guards.switch(Guard::Mode).approvers;
    let waits_by_mode = mode == Mode::Approve && !approvals.satisfy(Guard::Mode, Some(by_mode));
    if waits_by_mode {
        open_holds.push(OpenHold { guard: Guard::Mode, approvers: Some(by_mode) });
    }
    let (decision, reason) = match (mode, strictest) {
        (Mode::Shadow, answer) => (Decision::Shadow(answer), would_have(answer, &guarded)),
        (Mode::Approve | Mode::Enforce, Answer::Expire) => (Decision::Expire, guarded),
        (Mode::Approve | Mode::Enforce, Answer::Deny) => (Decision::Deny, guarded),
        (Mode::Approve | Mode::Enforce, Answer::Hold) => (Decision::Hold, guarded),
        (Mode::Approve, Answer::Pass) if waits_by_mode => (
            Decision::Hold,
            format!("{}: a person must approve", policy.told_mode_within(candidate.mode_max)),
        ),
        (Mode::Approve | Mode::Enforce, Answer::Pass) if !approvals.0.is_empty() => {
            (Decision::Send, "every guard passes or is approved".to_owned())
        }
        (Mode::Approve | Mode::Enforce, Answer::Pass) => (Decision::Send, "every guard passes".to_owned()),
    };
    let breach = breach(&case, &trace, left);
    Verdict { decision, reason, trace, open_holds, breach }
}

/// Returns what the guard of blast radius found, if a limit is used up and nobody has approved that. What is denied or too late
/// for another reason goes past no limit, and neither does a shadow source.
fn breach(case: &Case<'_>, trace: &[Finding], left: impl Fn(&Finding) -> Answer) -> Option<String> {
    let guards = &case.policy.guards;
    let counts =
        case.policy.mode_within(case.candidate.mode_max) != Mode::Shadow && guards.is_on(Guard::BlastBreaker);
    if !counts || !is_a_limit_used_up(guards, &case.facts.own) {
        return None;
    }
    let (of_radius, others): (Vec<_>, Vec<_>) =
        trace.iter().partition(|finding| finding.guard == Guard::BlastRadius);
    let is_open = others.into_iter().all(|finding| left(finding) <= Answer::Hold);
    let found = of_radius.into_iter().find(|finding| left(finding) != Answer::Pass);
    found.filter(|_| is_open).map(|finding| finding.evidence.clone())
}

fn would_have(answer: Answer, guarded: &str) -> String {
    match answer {
        Answer::Pass => "would have been sent".to_owned(),
        Answer::Hold => format!("would have been held: {guarded}"),
        Answer::Deny => format!("would have been denied: {guarded}"),
        Answer::Expire => format!("would have expired: {guarded}"),
    }
}

/// The verdict on an action whose source is not configured any more.
pub fn source_unknown() -> Verdict {
    let evidence = "the source is not configured any more".to_owned();
    let finding =
        Finding { guard: Guard::Source, answer: Answer::Hold, evidence: evidence.clone(), approvers: None };
    let open_holds = vec![OpenHold { guard: Guard::Source, approvers: None }];
    Verdict { decision: Decision::Hold, reason: evidence, trace: vec![finding], open_holds, breach: None }
}
