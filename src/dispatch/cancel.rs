//! What becomes of the wish that a submitted action is cancelled, given Defender's record of it. Pure.
//!
//! The rule: Defender's list has the last word, before and after every call. A machine action is cancelled only if its call
//! was ours and no other action of ours wants it to go on.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{
    Action, Advance, CancelOutcome, Change, MachineAction, Patch, State, Who, Wish, after, end_of,
};

/// How often Defender is asked to cancel one machine action. With the waits between, that is an hour and a half.
const TRIES_MAX: u32 = 12;

/// The wait after the first call; each is twice the one before.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// The longest wait between calls.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// How long after a call the list is read: an action takes some seconds to change in it.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);

/// How often in a row, and for how long, the list must be without a machine action for it to be given up: reads of known
/// ids have failed for minutes.
const UNLISTED_READS: u32 = 12;
const UNLISTED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// What comes next for a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelStep {
    /// Nothing now.
    Wait,
    /// Ask Defender.
    Call,
    /// This was found out.
    Note(Finding),
    /// The action ends: Defender has lost it.
    End(Advance),
}

/// What was found out about a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, for a person.
    pub why: String,
    /// When Defender may be called next; `None` gives the wish up.
    pub next_at: Option<Timestamp>,
    /// How often in a row the list did not have the machine action.
    pub unlisted: u32,
}

/// Returns what comes next for a wish after a complete read of the list.
pub fn consider(action: &Action, wish: &Wish, record: Option<&MachineAction>, now: Timestamp) -> CancelStep {
    let Some(record) = record else {
        return unlisted(action, wish, now);
    };
    let cancellation = &wish.cancellation;
    if end_of(&record.status).is_some() {
        return CancelStep::Wait;
    }
    let note = |why: String, next_at| {
        let is_new = why != cancellation.why || next_at != cancellation.next_at || cancellation.unlisted > 0;
        if is_new { CancelStep::Note(Finding { why, next_at, unlisted: 0 }) } else { CancelStep::Wait }
    };
    let Some(next_at) = cancellation.next_at else {
        return note(cancellation.why.clone(), None);
    };
    if !is_ours(action, wish, record) {
        let by = record.requestor.as_deref().unwrap_or("somebody else");
        let why =
            format!("machine action {} was made by {by}, not by us: it is not ours to cancel", record.id);
        return note(why, None);
    }
    if let Some(sharer) = wish.sharers.iter().find(|sharer| sharer.still_wants_it) {
        let why = format!(
            "machine action {} serves action {} too, which still wants it: cancel that one as well",
            record.id, sharer.action
        );
        return note(why, Some(next_at));
    }
    if next_at <= now { CancelStep::Call } else { CancelStep::Wait }
}

/// Says whether one of our calls made the record: its comment is that of this action, or of one that shares it.
fn is_ours(action: &Action, wish: &Wish, record: &MachineAction) -> bool {
    let Some(comment) = record.comment.as_deref() else {
        return false;
    };
    comment == action.comment() || wish.sharers.iter().any(|sharer| sharer.comment == comment)
}

fn unlisted(action: &Action, wish: &Wish, now: Timestamp) -> CancelStep {
    let cancellation = &wish.cancellation;
    let reads = cancellation.unlisted.saturating_add(1);
    let is_lost = reads >= UNLISTED_READS && now >= after(cancellation.requested_at, UNLISTED_FOR);
    if !is_lost {
        let (why, next_at) = (cancellation.why.clone(), cancellation.next_at);
        return CancelStep::Note(Finding { why, next_at, unlisted: reads });
    }
    let change = Change {
        at: now,
        from: Some(State::Submitted),
        to: State::TimedOut,
        why: format!(
            "Defender's list does not have the machine action any more, or has another under its id, {reads} reads in a row: what became of it is not known"
        ),
        who: Who::Bridge,
        facts: vec![fact(wish)],
    };
    CancelStep::End(Advance {
        action: action.id,
        expected: State::Submitted,
        changes: vec![change],
        patch: Patch::default(),
    })
}

/// Tells of the wish in the history of an action that has ended.
pub(super) fn fact(wish: &Wish) -> String {
    let cancellation = &wish.cancellation;
    format!(
        "{} wanted it cancelled at {:.0}: {}",
        cancellation.by, cancellation.requested_at, cancellation.reason
    )
}

/// Returns why an action that nobody has cancelled yet must be, if its device has had the whole of its source's limit.
///
/// The limit counts for every open status: a device that went away in the middle may finish days later as well.
pub fn overdue(action: &Action, limit: SignedDuration, now: Timestamp) -> Option<String> {
    limit_of(action, limit).filter(|at| *at <= now)?;
    let known = action.machine_action.as_ref()?;
    let age = now.duration_since(known.since);
    let age =
        if age.as_hours() < 2 { format!("{} min", age.as_mins()) } else { format!("{} h", age.as_hours()) };
    Some(format!(
        "{} at Defender for {age}, the limit of the source is reached: the device must not act by surprise later",
        known.status
    ))
}

/// Says whether a wish was given up before the action's device had had the whole of its source's limit. What stood in its way then,
/// such as a missing role, need not stand there any more, so the limit wants it once more.
pub(super) fn is_outlived(action: &Action, wish: &Wish, limit: SignedDuration, now: Timestamp) -> bool {
    let cancellation = &wish.cancellation;
    let is_between = |at| at <= now && cancellation.requested_at < at;
    cancellation.next_at.is_none() && limit_of(action, limit).is_some_and(is_between)
}

/// Returns when the limit of an action is reached, if that is still to come.
pub(super) fn limit_at(action: &Action, limit: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    limit_of(action, limit).filter(|at| *at > now)
}

/// Returns when the device of an action has had the whole of its source's limit.
fn limit_of(action: &Action, limit: SignedDuration) -> Option<Timestamp> {
    action.machine_action.as_ref().map(|known| after(known.since, limit))
}

/// What follows from a cancel call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfterCall {
    /// What is known now.
    pub finding: Finding,
    /// When to read the list.
    pub look_at: Timestamp,
}

/// Returns what follows from a cancel call that was the n-th since the wish.
pub fn after_call(tries: u32, outcome: &CancelOutcome, now: Timestamp) -> AfterCall {
    let wait = wait_after(tries);
    let soon = after(now, FIRST_LOOK);
    let again = |why: String, wait, look_at: Timestamp| {
        let next_at = after(now, wait);
        if tries < TRIES_MAX {
            return after_call_of(why, Some(next_at), look_at.min(next_at));
        }
        after_call_of(format!("given up after {tries} calls: {why}"), None, look_at)
    };
    match outcome {
        CancelOutcome::Taken => {
            // It was seen that Defender takes the call and the action stays Pending (reference, defender-api 2).
            again("Defender took the cancel call; its list will tell".to_owned(), wait.max(FIRST_WAIT), soon)
        }
        CancelOutcome::Forbidden(refusal) => {
            let why = format!(
                "Defender does not allow it ({refusal}): the app registration needs the app role \
                 Machine.StopAndQuarantine, or the one that Defender names, with admin consent; then request it again"
            );
            after_call_of(why, None, soon)
        }
        CancelOutcome::Unauthorized(refusal) => again(
            format!("Defender did not take the token ({refusal}); a new one is tried"),
            wait,
            after(now, wait),
        ),
        CancelOutcome::Throttled { refusal, wait: asked } => {
            let wait = wait.max(*asked);
            again(format!("Defender's limit is reached ({refusal})"), wait, after(now, wait))
        }
        CancelOutcome::Refused(refusal) => {
            again(format!("Defender refused ({refusal}); its list will tell"), wait, soon)
        }
        CancelOutcome::NotSent { why } => again(format!("nothing was sent ({why})"), wait, after(now, wait)),
        CancelOutcome::Unknown { why, .. } => {
            again(format!("the answer is unknown ({why}); Defender's list will tell"), wait, soon)
        }
    }
}

fn after_call_of(why: String, next_at: Option<Timestamp>, look_at: Timestamp) -> AfterCall {
    AfterCall { finding: Finding { why, next_at, unlisted: 0 }, look_at }
}

/// How long to wait after the n-th call: 10, 20, 40 s ... 15 min.
fn wait_after(tries: u32) -> SignedDuration {
    let doublings = tries.saturating_sub(1).min(7);
    FIRST_WAIT
        .checked_mul(1_i32.checked_shl(doublings).unwrap_or(1))
        .unwrap_or(LONGEST_WAIT)
        .min(LONGEST_WAIT)
}
