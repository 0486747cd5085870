//! Sends queued actions: budget, token, intent, one call, outcome.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time;

use crate::alert::{
    Action, Advance, Anchor, Api, MachineId, Outcome, Question, State, Steady, Target, Tried, Trouble,
    Upstream, after,
};
use crate::budget::{Permit, Queue, Share, is_late};
use crate::clock::Clock;
use crate::defender::{Defender, TokenError};
use crate::policy::{Facts, Policy};
use crate::store::{Intent, LateCall, Store, StoreError, Weighed};
use crate::telemetry::metric;

use super::breaker::{Heard, Pass};
use super::calls::number;
use super::decided::tell_breach;
use super::facts::{Gathered, gather};
use super::hold::heard_of_token;
use super::{Dispatcher, Done, Options, Passes, decide, step, stop};

/// How long to wait before an outcome is written again after the store could not take it.
const RECORD_RETRY: Duration = Duration::from_secs(1);

/// What came of sending one action.
#[derive(Debug)]
pub(super) struct Sent {
    machine_id: MachineId,
    counted_at: Steady,
    passes: Passes,
    result: Result<Ended, SendError>,
}

/// How it ended.
#[derive(Debug)]
enum Ended {
    /// A call was made, and where that took its action.
    Called(Outcome, State),
    /// No call was needed after all.
    NotCalled,
    /// The machine action of another one is shared.
    Shared,
}

/// Why nothing could be sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What one sending needs.
struct Sending {
    store: Store,
    defender: Defender,
    clock: Clock,
    action: Action,
    /// Where the policy is at the moment of the intent.
    options: watch::Receiver<Options>,
    /// What Defender says of device and file.
    facts: Facts,
    counted_at: Steady,
    /// When Defender last took another action.
    others_taken_at: Option<Timestamp>,
    /// The time by the clock that cannot be set.
    anchor: Anchor,
}

impl Dispatcher {
    /// Starts as many calls as may be under way; returns when to come back if something holds them up.
    pub(super) async fn start_sending(&mut self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let steady = self.clock.steady();
        self.show_budget(steady);
        let waits = self.waits_for_first_look().await?;
        self.show_hold(waits);
        if waits || now < self.store_retry_at {
            return Ok(if waits { Timestamp::MAX } else { self.store_retry_at });
        }
        if let Some(wake) = self.start_recount(now) {
            return Ok(wake);
        }
        if self.store.kill_switch().await?.is_on {
            return Ok(after(now, stop::LOOK_AGAIN));
        }
        let places = self.options.in_flight_max.saturating_sub(self.busy.len());
        // Who may use all of the limits may not wait longer than the others: then nobody can be sent.
        if let Permit::WaitUntil(at) = self.calls.permit(Api::Quarantine, Share::Whole, 1, steady) {
            return Ok(self.time_of(at));
        }
        if places == 0 {
            return Ok(Timestamp::MAX);
        }
        let sendable = self.store.sendable(now, places, self.busy.clone()).await?;
        self.adopt_changes();
        let (urgent, others) = (sendable.urgent.into(), sendable.others.into());
        let queue = Queue { urgent, others, longest: sendable.longest.into() };
        let (orphans, wake) = self.send_from(queue, now, steady);
        self.show_hold(false);
        self.store.advance(orphans).await?;
        Ok(wake)
    }

    /// Starts calls as the queue's rule says; returns what nobody may send any more, and when to come back.
    fn send_from(&mut self, mut queue: Queue, now: Timestamp, steady: Steady) -> (Vec<Advance>, Timestamp) {
        let (mut orphans, mut wake) = (Vec::new(), Timestamp::MAX);
        loop {
            let heads = queue.heads();
            let Some((next, share)) = self.fairness.next(&heads) else {
                return (orphans, wake);
            };
            if self.busy.len() >= self.options.places(share) {
                return (orphans, wake);
            }
            if let Permit::WaitUntil(at) = self.calls.permit(Api::Quarantine, share, 1, steady) {
                return (orphans, self.time_of(at).min(wake));
            }
            let Some(action) = queue.take(next) else {
                return (orphans, wake);
            };
            let is_known = self.options.policies.contains_key(&action.source);
            let Some(target) = action.target.filter(|_| is_known) else {
                orphans.push(decide::hold_orphan(&action, now));
                continue;
            };
            queue.skip(target.machine_id);
            let facts = match self.facts_to_send(&action, target, now) {
                Ok(facts) => facts,
                Err(at) => {
                    wake = wake.min(at);
                    continue;
                }
            };
            let passes = match self.upstreams.to_send(now) {
                Ok(passes) => passes,
                Err(at) => return (orphans, at.min(wake)),
            };
            self.fairness.sent(&next, heads.longest.as_ref());
            self.start_one(action, (target, facts), passes, steady);
        }
    }

    /// Returns what guards look at before a call, no older than they may be; asks anew if they are, and says when to come
    /// back.
    fn facts_to_send(&mut self, action: &Action, target: Target, now: Timestamp) -> Result<Facts, Timestamp> {
        let Some(policy) = self.options.policies.get(&action.source) else {
            return Ok(Facts::default());
        };
        let max_age = policy.guards.facts_max_age;
        let learned = |question: &Question| self.lookups.learned(question, now, max_age);
        match gather(action, target, &policy.guards, &learned, now) {
            Gathered::All(facts) => Ok(*facts),
            Gathered::Ask(questions) => Err(self.ask(action, questions, now).unwrap_or(Timestamp::MAX)),
        }
    }

    fn start_one(
        &mut self,
        action: Action,
        (target, facts): (Target, Facts),
        passes: Passes,
        counted_at: Steady,
    ) {
        self.busy.insert(target.machine_id);
        self.calls.record(Api::Quarantine, self.clock.moment(), counted_at);
        let sending = Sending {
            store: self.store.clone(),
            defender: self.defender.clone(),
            clock: self.clock.clone(),
            action,
            options: self.changes.clone(),
            facts,
            counted_at,
            others_taken_at: self.taken_at,
            anchor: self.anchor,
        };
        let machine_id = target.machine_id;
        self.calls.start(Box::pin(async move {
            let counted_at = sending.counted_at;
            Done::Sent(Sent { machine_id, counted_at, passes, result: sending.send().await })
        }));
    }

    pub(super) fn sent(&mut self, sent: Sent) {
        self.busy.remove(&sent.machine_id);
        let now = self.clock.now();
        let (passes, counted_at, steady) = (sent.passes, sent.counted_at, self.clock.steady());
        self.calls.change(Api::Quarantine, |budget| match &sent.result {
            Ok(Ended::NotCalled | Ended::Shared) | Err(SendError::Token(_)) => budget.release(counted_at),
            // Where the store failed, the call may have left.
            Ok(Ended::Called(..)) | Err(SendError::Store(_)) => budget.answered(counted_at, steady),
        });
        if !matches!(sent.result, Ok(Ended::Called(..))) {
            self.hear(Upstream::Quarantine, passes.call, Heard::Nothing, now);
        }
        let of_token = match &sent.result {
            Err(SendError::Token(error)) => heard_of_token(error),
            // The store is asked after the token.
            Ok(_) | Err(SendError::Store(_)) => Heard::Good,
        };
        self.hear(Upstream::Token, passes.token, of_token, now);
        match sent.result {
            Ok(Ended::Called(outcome, state)) => {
                if state == State::Uncertain {
                    self.waited.began(sent.machine_id, steady);
                }
                self.learn(&outcome, state, passes.call, now);
            }
            Ok(Ended::Shared) => self.metrics.count(&metric::SHARED, &[]),
            Ok(Ended::NotCalled) | Err(SendError::Token(_)) => {}
            Err(SendError::Store(error)) => self.store_failed(&error, now),
        }
    }

    /// Draws conclusions for the calls that come next.
    fn learn(&mut self, outcome: &Outcome, state: State, pass: Pass, now: Timestamp) {
        let heard = match outcome {
            Outcome::Throttled { wait, .. } => {
                let until = self.clock.steady().after(*wait);
                self.calls.change(Api::Quarantine, |budget| budget.block(until));
                Heard::Nothing
            }
            Outcome::Unauthorized(refusal) => Heard::Bad(Trouble::Unauthorized, refusal.to_string()),
            // Where that has ended the action, it is about that one.
            Outcome::Forbidden(refusal) if state != State::Rejected => {
                Heard::Bad(Trouble::Forbidden, refusal.to_string())
            }
            Outcome::NotSent { why } => Heard::Bad(Trouble::Unreachable, why.clone()),
            Outcome::Unknown { why, .. } => Heard::Bad(Trouble::NoClearAnswer, why.clone()),
            Outcome::Accepted(_) => {
                self.taken_at = Some(now);
                Heard::Good
            }
            Outcome::ActiveRequest(_)
            | Outcome::NotFound(_)
            | Outcome::Forbidden(_)
            | Outcome::Refused(_) => Heard::Good,
        };
        self.hear(Upstream::Quarantine, pass, heard, now);
    }

    fn show_budget(&self, now: Steady) {
        for window in self.calls.windows(Api::Quarantine, now) {
            self.metrics.set(&metric::BUDGET_LEFT, &[("window", window.window)], number(window.left()));
        }
    }
}

impl Sending {
    async fn send(self) -> Result<Ended, SendError> {
        let token = self.defender.token().await?;
        // The token may have taken long: what is configured now counts. An orphan is held in the next turn.
        let Some(policy) = self.policy() else {
            return Ok(Ended::NotCalled);
        };
        let (policy, share_window) = policy;
        let now = self.clock.now();
        let steady = self.anchor.time_of(self.clock.steady());
        let weighed = Weighed { policy, facts: self.facts.clone(), steady };
        let turns = self.store.kill_switch_turns();
        let recorded = self.store.record_intent(self.action.id, weighed, share_window, now).await?;
        let intent = match recorded {
            Intent::Recorded(intent) => intent,
            Intent::Shared(with) => {
                tracing::info!(action = %self.action.id, %with, "a machine action is shared, no call is made");
                return Ok(Ended::Shared);
            }
            Intent::Overruled(verdict) => {
                tell_breach(self.action.id, &verdict);
                return Ok(Ended::NotCalled);
            }
            Intent::Gone | Intent::Stopped => return Ok(Ended::NotCalled),
        };
        let tried = intent.tried();
        // Nothing is waited for between this and the call.
        if turns.has_changed().unwrap_or(true) {
            self.record(&tried, &stop::not_begun()).await?;
            return Ok(Ended::NotCalled);
        }
        let outcome = stop::until_stopped(turns, self.defender.stop_and_quarantine(&token, intent)).await;
        // A role that was given meanwhile stands in a fresh token only.
        if matches!(outcome, Outcome::Unauthorized(_) | Outcome::Forbidden(_)) {
            self.defender.forget(&token).await;
        }
        let state = self.record(&tried, &outcome).await?;
        Ok(Ended::Called(outcome, state))
    }

    fn policy(&self) -> Option<(Policy, SignedDuration)> {
        let options = self.options.borrow();
        options.policies.get(&self.action.source).map(|policy| (policy.clone(), options.share_window))
    }

    /// Writes the outcome, however long the disk stays full: nobody else knows it. Returns where it takes the action.
    async fn record(&self, tried: &Tried, outcome: &Outcome) -> Result<State, StoreError> {
        let attempt = tried.attempt;
        loop {
            let now = self.clock.now();
            let advance = step::next(&self.action, tried, outcome, self.others_taken_at, now);
            let state = advance.changes.last().map_or(State::Sending, |change| change.to);
            let at = (now, self.late());
            let written = self.store.record_outcome(attempt, outcome.clone(), advance, at).await;
            self.tell(attempt, outcome, &written);
            match written {
                Err(StoreError::NotWritable(_)) => time::sleep(RECORD_RETRY).await,
                written => return written.map(|()| state),
            }
        }
    }

    /// Says whether the call was answered later than the budget's margin allows for, so that it must count from now on.
    fn late(&self) -> Option<LateCall> {
        let (counted_at, answered) = (self.counted_at, self.clock.moment());
        is_late(counted_at, self.clock.steady()).then_some(LateCall {
            api: Api::Quarantine,
            counted_at,
            answered,
        })
    }

    fn tell(&self, attempt: u32, outcome: &Outcome, written: &Result<(), StoreError>) {
        let (action, outcome_word) = (self.action.id, outcome.as_str());
        let said = outcome.refusal().map(ToString::to_string);
        let error = written.as_ref().err().map(ToString::to_string);
        tracing::info!(%action, attempt, outcome = outcome_word, said, error, "Defender was called");
    }
}
