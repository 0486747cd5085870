//! Where the outcome of a call takes its action. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Action, Advance, Change, Outcome, Patch, Refusal, State, Tried, Who, after};

use super::backoff;

/// How long after a lost answer Defender's list is read first: a new action takes some seconds to appear in
/// it.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);

/// How long to wait after each answer that device or file are not known: Defender's telemetry may be on its way. The
/// answer after the last wait is final.
const NOT_FOUND_WAITS: [SignedDuration; 4] = [
    SignedDuration::from_secs(30),
    SignedDuration::from_secs(60),
    SignedDuration::from_secs(120),
    SignedDuration::from_secs(180),
];

/// How long an action waits that was not allowed: longer than the breaker, so that others are tried before it.
const FORBIDDEN_WAIT: SignedDuration = SignedDuration::from_secs(90);

/// How often an action is not allowed before that can be its own fault.
const FORBIDDEN_MAX: u32 = 3;

/// Returns the move of a sent action.
///
/// `others_taken_at` is when Defender last took another action.
pub fn next(
    action: &Action,
    tried: &Tried,
    outcome: &Outcome,
    others_taken_at: Option<Timestamp>,
    now: Timestamp,
) -> Advance {
    let Step { to, why, wait } = match outcome {
        Outcome::NotFound(refusal) => not_found(action, tried, refusal, now),
        Outcome::Forbidden(refusal) => forbidden(tried, refusal, others_taken_at),
        _ => step(outcome, tried.attempt),
    };
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
        Outcome::NotFound(refusal) | Outcome::Forbidden(refusal) | Outcome::Refused(refusal) => {
            to(State::Rejected, at_once, format!("Defender refused: {refusal}"))
        }
        Outcome::Unknown { why, .. } => {
            let why = format!("the answer is unknown ({why}); Defender's list will tell");
            to(State::Uncertain, FIRST_LOOK, why)
        }
    }
}

/// Right after an alert, Defender may not know of the file yet.
fn not_found(action: &Action, tried: &Tried, refusal: &Refusal, now: Timestamp) -> Step {
    let times = tried.not_found.saturating_add(1);
    let wait = usize::try_from(tried.not_found).ok().and_then(|before| NOT_FOUND_WAITS.get(before)).copied();
    let in_time = |wait: &SignedDuration| action.expires_at.is_none_or(|end| after(now, *wait) < end);
    let Some(wait) = wait.filter(in_time) else {
        let why = format!("Defender refused, {times} times: {refusal}");
        return Step { to: State::Rejected, why, wait: SignedDuration::ZERO };
    };
    let (secs, most) = (wait.as_secs(), NOT_FOUND_WAITS.len().saturating_add(1));
    let why = format!(
        "Defender does not know device or file yet ({refusal}), answer {times} of at most {most}; it will be asked again \
         in {secs} s"
    );
    Step { to: State::Queued, why, wait }
}

/// What is not allowed is about us, unless Defender takes others all the while.
fn forbidden(tried: &Tried, refusal: &Refusal, others_taken_at: Option<Timestamp>) -> Step {
    let since = tried.forbidden_at.zip(others_taken_at);
    let times = tried.forbidden.saturating_add(1);
    if times >= FORBIDDEN_MAX && since.is_some_and(|(last, others)| others > last) {
        let why = format!("Defender does not allow this one, {times} times, and allows others: {refusal}");
        return Step { to: State::Rejected, why, wait: SignedDuration::ZERO };
    }
    let why = format!("Defender does not allow it ({refusal}); all sending is held until that is mended");
    Step { to: State::Queued, why, wait: FORBIDDEN_WAIT }
}

fn who(outcome: &Outcome) -> Who {
    match outcome {
        Outcome::NotSent { .. } | Outcome::Unknown { .. } => Who::Bridge,
        Outcome::Accepted(_)
        | Outcome::Unauthorized(_)
        | Outcome::Throttled { .. }
        | Outcome::ActiveRequest(_)
        | Outcome::NotFound(_)
        | Outcome::Forbidden(_)
        | Outcome::Refused(_) => Who::Defender,
    }
}
