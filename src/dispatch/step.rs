//! Where the outcome of a call takes its action. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Action, Advance, Change, Outcome, Patch, State, Who, after};

use super::backoff;

/// How long after a lost answer Defender's list is read first: a new action takes some seconds to appear in
/// it.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);

/// Returns the move of a sent action.
pub fn next(action: &Action, attempt: u32, outcome: &Outcome, now: Timestamp) -> Advance {
    let Step { to, why, wait } = step(outcome, attempt);
    let machine_action = match outcome {
        Outcome::Accepted(record) => Some(record.clone()),
        _ => None,
    };
    let from = Some(State::Sending);
    let change = Change { at: now, from, to, why, who: who(outcome), facts: Vec::new() };
    let patch = Patch { next_at: Some(after(now, wait)), machine_action, ..Patch::default() };
    Advance { action: action.id, expected: State::Sending, changes: vec![change], patch }
}

struct Step {
    to: State,
    why: String,
    wait: SignedDuration,
}

fn step(outcome: &Outcome, attempt: u32) -> Step {
    let to = |to, wait, why| Step { to, why, wait };
    let at_once = SignedDuration::ZERO;
    match outcome {
        Outcome::Accepted(record) => {
            let why = format!("Defender took it as machine action {}, {}", record.id, record.status);
            to(State::Submitted, FIRST_LOOK, why)
        }
        Outcome::NotSent { why } => {
            let why = format!("nothing was sent ({why}); it will be tried again");
            to(State::Queued, backoff::after_failures(attempt), why)
        }
        Outcome::Unauthorized(refusal) => {
            let why =
                format!("Defender did not take the token ({refusal}); it will be tried again with a new one");
            to(State::Queued, at_once, why)
        }
        Outcome::Throttled { refusal, wait } => {
            let secs = wait.as_secs();
            let why = format!("Defender's limit is reached ({refusal}); it will be tried again in {secs} s");
            to(State::Queued, *wait, why)
        }
        Outcome::ActiveRequest(refusal) => {
            let why = format!(
                "an action is in progress there already ({refusal}); Defender's list will tell which"
            );
            to(State::Uncertain, at_once, why)
        }
        Outcome::Refused(refusal) => to(State::Rejected, at_once, format!("Defender refused: {refusal}")),
        Outcome::Unknown { why, .. } => {
            let why = format!("the answer is unknown ({why}); Defender's list will tell");
            to(State::Uncertain, FIRST_LOOK, why)
        }
    }
}

fn who(outcome: &Outcome) -> Who {
    match outcome {
        Outcome::NotSent { .. } | Outcome::Unknown { .. } => Who::Bridge,
        Outcome::Accepted(_)
        | Outcome::Unauthorized(_)
        | Outcome::Throttled { .. }
        | Outcome::ActiveRequest(_)
        | Outcome::Refused(_) => Who::Defender,
    }
}
