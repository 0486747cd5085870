//! The durable promise to call Defender once.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use crate::alert::{
    Action, ActionId, Advance, Change, MachineId, Patch, State, Target, Tried, Who, after, from_millis,
    millis,
};
use crate::audit::Deed;
use crate::policy::{Candidate, Decision, Facts, Policy, Verdict, decide};

use super::ledger::Counted;
use super::share::{self, Twin};
use super::{
    Store, StoreError, advance, approvals, audit, blast_breaker, cancel, kept_action, restore, retry, sent,
    switch, words,
};

/// How long an action waits for the end of a machine action that is being cancelled.
const CANCEL_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// By what policy looks at an action again before it is sent.
#[derive(Debug, Clone)]
pub struct Weighed {
    /// What its source may do now.
    pub policy: Policy,
    /// What Defender says. Our own records are read in the transaction.
    pub facts: Facts,
    /// The time by the clock that cannot be set.
    pub steady: Timestamp,
}

/// What came of the wish to record an intent.
#[derive(Debug, PartialEq, Eq)]
pub enum Intent {
    /// It is on disk: call Defender with it, once.
    Recorded(RecordedIntent),
    /// Policy has changed its mind; the action has moved on.
    Overruled(Verdict),
    /// Another action of ours has sent for the same device and file: this one shares its machine action, and no call
    /// is made.
    Shared(ActionId),
    /// The kill switch is on: the action stays as it is.
    Stopped,
    /// The action is not queued any more, or is to be cancelled, or a call for its machine is in flight.
    Gone,
}

/// The proof that an intent is on disk.
///
/// Only the store can make one, it cannot be copied, and the quarantine call takes it by value: a call
/// without a durable intent, or a second call with the same one, does not compile.
///
/// ```
/// use quarantine_bridge::store::RecordedIntent;
/// fn used_once(intent: RecordedIntent) -> u32 { drop_it(intent) }
/// fn drop_it(intent: RecordedIntent) -> u32 { intent.attempt() }
/// ```
///
/// A second use does not compile:
///
/// ```compile_fail,E0382
/// use quarantine_bridge::store::RecordedIntent;
/// fn used_twice(intent: RecordedIntent) -> u32 { drop_it(intent) + drop_it(intent) }
/// fn drop_it(intent: RecordedIntent) -> u32 { intent.attempt() }
/// ```
///
/// Nobody else can make one:
///
/// ```compile_fail,E0451
/// use quarantine_bridge::store::RecordedIntent;
/// fn forged(real: RecordedIntent) -> RecordedIntent { RecordedIntent { tried: real.tried(), ..real } }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct RecordedIntent {
    action: ActionId,
    tried: Tried,
    target: Target,
    comment: String,
}

impl RecordedIntent {
    /// The action it is for.
    pub fn action(&self) -> ActionId {
        self.action
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.tried.attempt
    }

    /// What earlier attempts have brought.
    pub fn tried(&self) -> Tried {
        self.tried
    }

    /// The device and the file.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The comment to send.
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

impl Store {
    /// Records the promise to call Defender once, after policy has looked again at what is known by now. If another action
    /// of ours has sent for the same device and file, and not longer ago than `share_window` if that is done, its machine
    /// action is shared.
    pub async fn record_intent(
        &self,
        action: ActionId,
        weighed: Weighed,
        share_window: SignedDuration,
        now: Timestamp,
    ) -> Result<Intent, StoreError> {
        self.writer.write(move |tx| record(tx, action, &weighed, share_window, now)).await
    }
}

/// Records an intent, if policy still says send.
fn record(
    tx: &Transaction<'_>,
    id: ActionId,
    weighed: &Weighed,
    share_window: SignedDuration,
    now: Timestamp,
) -> Result<Intent, StoreError> {
    if switch::is_on(tx)? {
        return Ok(Intent::Stopped);
    }
    let Some((action, target)) = waiting(tx, id, now)? else {
        return Ok(Intent::Gone);
    };
    let candidate = Candidate::of(&action, Ok(target));
    let counted = Counted { action: &action, target, policy: &weighed.policy, at: weighed.steady };
    let facts = Facts { own: counted.facts(tx)?, ..weighed.facts.clone() };
    let verdict = decide(&candidate, &facts, &words::approvals(tx, id)?, &weighed.policy, now);
    if verdict.decision != Decision::Send {
        overrule(tx, &action, &verdict, &weighed.policy, now)?;
        return Ok(Intent::Overruled(verdict));
    }
    if let Some(twin) = share::find(tx, &action, target, share_window, now)? {
        return take_share(tx, &action, &twin, verdict.facts(), now);
    }
    if retry::ask_first(tx, &action, now)? || restore::ask_first(tx, &action, now)? {
        return Ok(Intent::Gone);
    }
    counted.keep(tx)?;
    let recorded = write(tx, &action, target, (&weighed.policy, verdict.facts()), now)?;
    Ok(Intent::Recorded(recorded))
}

/// Writes the intent, and that the action is being sent.
fn write(
    tx: &Transaction<'_>,
    action: &Action,
    target: Target,
    (policy, facts): (&Policy, Vec<String>),
    now: Timestamp,
) -> Result<RecordedIntent, StoreError> {
    let tried = tried(tx, action)?;
    let attempt = tried.attempt;
    keep(tx, action.id, attempt, now)?;
    let why = format!("attempt {attempt}: the intent is on disk, the call may leave");
    let advance = to(action, State::Sending, why, facts, now);
    advance::unrecorded(tx, &advance)?;
    let comment = action.comment();
    let (policy, moves) = (audit::version(policy), audit::moves(&advance));
    let deed = Deed::Intent { attempt, policy, comment: comment.clone(), moves };
    audit::about(tx, action.id, now, &Who::Bridge, deed)?;
    Ok(RecordedIntent { action: action.id, tried, target, comment })
}

/// Returns an action that still waits to be sent, and for what; one whose target is served already ends here.
fn waiting(
    tx: &Transaction<'_>,
    id: ActionId,
    now: Timestamp,
) -> Result<Option<(Action, Target)>, StoreError> {
    let action = kept_action::load(tx, id)?.ok_or_else(|| StoreError::lost(id))?;
    let queued = Some(action).filter(|action| action.state == State::Queued);
    let Some((action, target)) = queued.and_then(|action| action.target.map(|target| (action, target)))
    else {
        return Ok(None);
    };
    if call_in_flight(tx, target.machine_id)? || cancel::is_wanted(tx, id)? {
        return Ok(None);
    }
    if let Some(why) = sent::already(tx, &action, target)? {
        advance::apply(tx, &to(&action, State::Superseded, why, Vec::new(), now))?;
        return Ok(None);
    }
    Ok(Some((action, target)))
}

/// Lets an action share the machine action of its twin, or wait while that is being cancelled.
fn take_share(
    tx: &Transaction<'_>,
    action: &Action,
    twin: &Twin,
    facts: Vec<String>,
    now: Timestamp,
) -> Result<Intent, StoreError> {
    if twin.is_being_cancelled {
        // Until that is known it is neither shared nor asked for again.
        let patch = Patch { next_at: Some(after(now, CANCEL_WAIT)), ..Patch::default() };
        let wait = Advance { action: action.id, expected: State::Queued, changes: Vec::new(), patch };
        advance::apply(tx, &wait)?;
        return Ok(Intent::Gone);
    }
    advance::apply(tx, &sharing(action, twin, facts, now))?;
    Ok(Intent::Shared(twin.id))
}

/// Lets an action share the machine action of its twin, to the same end.
fn sharing(action: &Action, twin: &Twin, mut facts: Vec<String>, now: Timestamp) -> Advance {
    let (id, status) = (&twin.machine_action.id, &twin.machine_action.status);
    let why = format!(
        "machine action {id}, {status}, of action {} for alert {} does the same there: it is shared, no call is made",
        twin.id, twin.alert_id
    );
    facts.push(format!("shared with action: {}", twin.id));
    facts.push(format!("machine action: {id}"));
    let mut advance = to(action, State::Submitted, why, facts, now);
    advance.patch.machine_action = Some(twin.machine_action.clone());
    advance.patch.next_at = Some(now);
    advance
}

/// Returns what the action's earlier attempts have brought.
fn tried(tx: &Transaction<'_>, action: &Action) -> Result<Tried, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT count(*) FILTER (WHERE outcome = 'not_found'), count(*) FILTER (WHERE outcome = 'forbidden'),
             max(ended_at) FILTER (WHERE outcome = 'forbidden')
         FROM attempts WHERE action_seq = (SELECT seq FROM actions WHERE id = ?1)",
    )?;
    let (not_found, forbidden, forbidden_at) = statement.query_row([action.id.to_string()], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?))
    })?;
    let attempt = action.attempts.saturating_add(1);
    Ok(Tried { attempt, not_found, forbidden, forbidden_at: forbidden_at.map(from_millis) })
}

/// Writes the attempt.
fn keep(tx: &Transaction<'_>, id: ActionId, attempt: u32, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO attempts (action_seq, n, intent_at) SELECT seq, ?2, ?3 FROM actions WHERE id = ?1",
    )?
    .execute(params![id.to_string(), attempt, millis(now)])?;
    tx.prepare_cached(
        "UPDATE actions SET attempts = ?2, intent_at = ?3, first_intent_at = coalesce(first_intent_at, ?3),
             empty_reads = 0, empty_read_at = NULL
         WHERE id = ?1",
    )?
    .execute(params![id.to_string(), attempt, millis(now)])?;
    Ok(())
}

fn call_in_flight(tx: &Transaction<'_>, machine_id: MachineId) -> Result<bool, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM actions WHERE machine_id = ?1 AND state IN ('sending', 'uncertain')",
    )?;
    Ok(statement.exists([machine_id.to_string()])?)
}

fn overrule(
    tx: &Transaction<'_>,
    action: &Action,
    verdict: &Verdict,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut advance = to(action, verdict.state(), verdict.reason.clone(), verdict.facts(), now);
    if verdict.decision == Decision::Hold {
        advance.patch.expires_at = Some(after(now, policy.guards.hold_limit));
    }
    advance::unrecorded(tx, &advance)?;
    approvals::keep_holds(tx, action.id, verdict)?;
    blast_breaker::heed(tx, action.id, verdict, now)?;
    audit::decided(tx, &advance, Some(policy), now)
}

fn to(action: &Action, state: State, why: String, facts: Vec<String>, at: Timestamp) -> Advance {
    let change = Change { at, from: Some(action.state), to: state, why, who: Who::Bridge, facts };
    Advance { action: action.id, expected: action.state, changes: vec![change], patch: Patch::default() }
}
