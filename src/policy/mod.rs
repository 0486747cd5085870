//! Decides whether an action may be sent: guards as plain functions over facts, combined by `decide`.
//!
//! Pure: the same inputs give the same verdict, in shadow mode, in `explain` and before every call.

mod guards;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Action, Mode, Severity, State, Target, Unresolved};

/// How long an action waits for a person; then it has been refused by silence.
pub const HOLD_LIMIT: SignedDuration = SignedDuration::from_hours(24);

/// What one source may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How far it may go.
    pub mode: Mode,
    /// The mildest severity that is acted on.
    pub min_severity: Severity,
    /// How old an alert may be when its action is sent.
    pub max_age: SignedDuration,
}

/// What is known of an action when it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What the sender says of the alert.
    pub severity: Option<Severity>,
    /// When the alert happened.
    pub occurred_at: Option<Timestamp>,
    /// When a person last completed the action.
    pub completed_at: Option<Timestamp>,
    /// Device and file, or why they are not known.
    pub target: Result<Target, Unresolved>,
}

impl Candidate {
    /// Takes what a stored action knows, with its target as it was resolved.
    pub fn of(action: &Action, target: Result<Target, Unresolved>) -> Self {
        Self {
            severity: action.severity,
            occurred_at: action.occurred_at,
            completed_at: action.completion.as_ref().map(|completion| completion.at),
            target,
        }
    }
}

/// What a guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Nothing against it.
    Pass,
    /// A person must look: it is doubtful, or a fact is missing.
    Hold,
    /// No.
    Deny,
    /// Too late.
    Expire,
}

impl Answer {
    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Expire => "expire",
        }
    }
}

/// What one guard found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The guard's name, from a fixed list.
    pub guard: &'static str,
    /// What it says.
    pub answer: Answer,
    /// The facts it looked at, for a person.
    pub evidence: String,
}

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

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// Why, in one line for a person.
    pub reason: String,
    /// What every guard found, in order.
    pub trace: Vec<Finding>,
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
        let line = |finding: &Finding| {
            format!("{}: {}, {}", finding.guard, finding.answer.as_str(), finding.evidence)
        };
        self.trace.iter().map(line).collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.decision.as_str(), self.reason)
    }
}

/// Decides one action.
///
/// Every guard is asked. The strictest answer wins, and the first guard that gave it is the reason.
pub fn decide(candidate: &Candidate, policy: &Policy, now: Timestamp) -> Verdict {
    let trace = vec![
        guards::severity(candidate, policy),
        guards::age(candidate, policy, now),
        guards::target(candidate),
    ];
    let strictest = trace.iter().map(|finding| finding.answer).max().unwrap_or(Answer::Hold);
    let first = trace.iter().find(|finding| finding.answer == strictest);
    let guarded = first.map_or_else(String::new, |finding| finding.evidence.clone());
    let (decision, reason) = match (policy.mode, strictest) {
        (Mode::Shadow, Answer::Pass) => (Decision::Shadow(strictest), "would have been sent".to_owned()),
        (Mode::Shadow, Answer::Hold) => {
            (Decision::Shadow(strictest), format!("would have been held: {guarded}"))
        }
        (Mode::Shadow, Answer::Deny) => {
            (Decision::Shadow(strictest), format!("would have been denied: {guarded}"))
        }
        (Mode::Shadow, Answer::Expire) => {
            (Decision::Shadow(strictest), format!("would have expired: {guarded}"))
        }
        (Mode::Approve | Mode::Enforce, Answer::Expire) => (Decision::Expire, guarded),
        (Mode::Approve | Mode::Enforce, Answer::Deny) => (Decision::Deny, guarded),
        (Mode::Approve | Mode::Enforce, Answer::Hold) => (Decision::Hold, guarded),
        (Mode::Approve, Answer::Pass) => {
            (Decision::Hold, "the source is in mode approve: a person must approve".to_owned())
        }
        (Mode::Enforce, Answer::Pass) => (Decision::Send, "every guard passes".to_owned()),
    };
    Verdict { decision, reason, trace }
}

/// The verdict on an action whose source is not configured any more.
pub fn source_unknown() -> Verdict {
    let evidence = "the source is not configured any more".to_owned();
    let finding = Finding { guard: "source", answer: Answer::Hold, evidence: evidence.clone() };
    Verdict { decision: Decision::Hold, reason: evidence, trace: vec![finding] }
}
