//! Settles an action whose call has an unknown outcome by Defender's own list. Pure.
//!
//! The rule: look before you send again. A second call needs two empty reads with a pause between, and the
//! settle time since the intent.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{
    Advance, Change, MachineAction, MachineActionRef, Patch, State, SupersededBy, Unsettled, Who, after,
    before,
};

use super::backoff;

/// How much earlier than our first intent Defender's clock may put our record: our clock may have been set wrong by days,
/// and a record that the list leaves out is sent again.
const CLOCK_WRONG: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How many calls in a row may end with the service before others go first: the call itself may be what ends it. That
/// cannot be told from a kill, so it is not held; the alert's age ends it.
pub(super) const CRASHES_MAX: u32 = 3;

/// How many empty reads are needed.
const EMPTY_READS: u32 = 2;

/// When an uncertain action may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// How long Defender may take to list an action.
    pub time: SignedDuration,
    /// How far apart two empty reads must be to count as two.
    pub apart: SignedDuration,
}

impl Settle {
    /// Takes the settle time; empty reads must be half of it apart.
    pub fn after(time: SignedDuration) -> Self {
        Self { time, apart: time.checked_div(2).unwrap_or(time) }
    }
}

/// What the list says about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'a> {
    /// It has ours: the same device, file and comment.
    Ours(&'a MachineAction),
    /// It has another one that does the same on the same device to the same file: it is open, or it has succeeded since the
    /// alert happened.
    Other(&'a MachineAction),
    /// It has nothing of the kind.
    Nothing,
}

/// Returns since when the list must be read to find an action: since its first call, for that may be listed after later
/// ones.
pub(super) fn since(unsettled: &Unsettled) -> Timestamp {
    before(unsettled.first_intent_at, CLOCK_WRONG)
}

/// Finds an action in Defender's list.
pub fn find<'a>(unsettled: &Unsettled, list: &'a [MachineAction]) -> Match<'a> {
    let Some(target) = unsettled.action.target else {
        return Match::Nothing;
    };
    let (machine, sha1) = (target.machine_id.to_string(), target.sha1.to_string());
    let is = |have: &Option<String>, wanted: &str| {
        have.as_deref().is_some_and(|have| have.eq_ignore_ascii_case(wanted))
    };
    let covers = |record: &&MachineAction| is(&record.machine_id, &machine) && is(&record.file, &sha1);
    let comment = unsettled.action.comment();
    let is_taken = |record: &MachineAction| unsettled.taken.iter().any(|id| id.as_str() == record.id);
    let mut other = Match::Nothing;
    for record in list.iter().filter(covers) {
        // Another source may have an alert of the same id.
        if record.comment.as_deref() == Some(comment.as_str()) && !is_taken(record) {
            return Match::Ours(record);
        }
        if is_open(record) || has_done_it(record, unsettled) {
            other = Match::Other(record);
        }
    }
    other
}

fn is_open(record: &MachineAction) -> bool {
    is_any(&record.status, &["Pending", "InProgress"])
}

/// Says whether it has done what ours should do: a file that was seen again after a quarantine needs another one.
fn has_done_it(record: &MachineAction, unsettled: &Unsettled) -> bool {
    let seen_at = unsettled.action.occurred_at.unwrap_or(unsettled.action.accepted_at);
    is_any(&record.status, &["Succeeded"]) && record.created_at.is_some_and(|at| at >= seen_at)
}

fn is_any(status: &str, words: &[&str]) -> bool {
    words.iter().any(|word| status.eq_ignore_ascii_case(word))
}

/// Returns the move of an uncertain action after a complete read of the list; `now` is when it was asked for.
pub fn settle(unsettled: &Unsettled, found: Match<'_>, rule: Settle, now: Timestamp) -> Advance {
    if let Match::Ours(record) = found {
        return adopt(unsettled, record, now);
    }
    if let Match::Other(record) = found
        && unsettled.is_surely_unmade
        && is_open(record)
    {
        return superseded(unsettled, record, now);
    }
    let counts = unsettled.empty_read_at.is_none_or(|at| now >= after(at, rule.apart));
    let reads = unsettled.empty_reads.saturating_add(u32::from(counts));
    let last_read = if counts { now } else { unsettled.empty_read_at.unwrap_or(now) };
    let is_settled = reads >= EMPTY_READS && now >= after(unsettled.intent_at, rule.time);
    if is_settled {
        return match found {
            Match::Other(record) => superseded(unsettled, record, now),
            Match::Ours(_) | Match::Nothing => requeue(unsettled, reads, now),
        };
    }
    let settled_at = after(unsettled.intent_at, rule.time);
    let next_read = after(last_read, rule.apart);
    let next_at = if reads >= EMPTY_READS { settled_at } else { next_read };
    let patch = Patch { next_at: Some(next_at), empty_reads: Some((reads, last_read)), ..Patch::default() };
    advance(unsettled, Vec::new(), patch)
}

fn adopt(unsettled: &Unsettled, record: &MachineAction, now: Timestamp) -> Advance {
    let Ok(id) = record.id.parse() else {
        // An id that cannot be one is as good as none: look again.
        let patch = Patch { next_at: Some(after(now, SignedDuration::from_secs(30))), ..Patch::default() };
        return advance(unsettled, Vec::new(), patch);
    };
    let why = format!("Defender's list has it as machine action {}, {}", record.id, record.status);
    let since = record.created_at.unwrap_or(unsettled.intent_at);
    let patch = Patch {
        machine_action: Some(MachineActionRef { id, status: record.status.clone(), since }),
        next_at: Some(now),
        ..Patch::default()
    };
    advance(unsettled, vec![change(State::Submitted, why, Who::Defender, now)], patch)
}

fn superseded(unsettled: &Unsettled, record: &MachineAction, now: Timestamp) -> Advance {
    let by = record.requestor.as_deref().unwrap_or("somebody else");
    let why = format!(
        "machine action {} of {by} does the same there, {}; nothing was sent again",
        record.id, record.status
    );
    let patch = Patch { superseded_by: Some(Box::new(SupersededBy::new(record))), ..Patch::default() };
    advance(unsettled, vec![change(State::Superseded, why, Who::Defender, now)], patch)
}

fn requeue(unsettled: &Unsettled, reads: u32, now: Timestamp) -> Advance {
    let waited = now.duration_since(unsettled.intent_at).as_secs();
    let why = format!(
        "Defender's list does not have it, {reads} reads in {waited} s: the call did not arrive; it may be sent again"
    );
    let crashes = unsettled.crashes;
    let wait = if crashes < CRASHES_MAX { SignedDuration::ZERO } else { backoff::after_failures(crashes) };
    let patch = Patch { next_at: Some(after(now, wait)), ..Patch::default() };
    advance(unsettled, vec![change(State::Queued, why, Who::Bridge, now)], patch)
}

fn change(to: State, why: String, who: Who, at: Timestamp) -> Change {
    Change { at, from: Some(State::Uncertain), to, why, who, facts: Vec::new() }
}

fn advance(unsettled: &Unsettled, changes: Vec<Change>, patch: Patch) -> Advance {
    Advance { action: unsettled.action.id, expected: State::Uncertain, changes, patch }
}
