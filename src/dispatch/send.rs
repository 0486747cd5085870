//! Sends queued actions: budget, token, intent, one call, outcome.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time;

use crate::alert::{Action, MachineId, Outcome, Target, after};
use crate::clock::Clock;
use crate::defender::{Defender, TokenError};
use crate::policy::Policy;
use crate::store::{Intent, Store, StoreError};
use crate::telemetry::metric;

use super::{Dispatcher, Done, Options, Permit, decide, step};

/// How long to wait before an outcome is written again after the store could not take it.
const RECORD_RETRY: Duration = Duration::from_secs(1);

/// What came of sending one action.
#[derive(Debug)]
pub(super) struct Sent {
    machine_id: MachineId,
    counted_at: Timestamp,
    result: Result<Ended, SendError>,
}

/// How it ended.
#[derive(Debug)]
enum Ended {
    /// A call was made.
    Called(Outcome),
    /// No call was needed after all.
    NotCalled,
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
    counted_at: Timestamp,
}

impl Dispatcher {
    /// Starts as many calls as may be under way; returns when to come back if something holds them up.
    pub(super) async fn start_sending(&mut self, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.show_budget(now);
        if now < self.pause.until {
            return Ok(self.pause.until);
        }
        // The machines that are busy may be among the most urgent.
        let limit = u32::try_from(self.options.in_flight_max).unwrap_or(u32::MAX);
        let mut orphans = Vec::new();
        let sendable = self.store.sendable(now, limit.saturating_mul(2)).await?;
        self.adopt_changes();
        for action in sendable {
            if self.busy.len() >= self.options.in_flight_max {
                break;
            }
            let is_known = self.options.policies.contains_key(&action.source);
            let Some(target) = action.target.filter(|_| is_known) else {
                orphans.push(decide::hold_orphan(&action, now));
                continue;
            };
            if self.busy.contains(&target.machine_id) {
                continue;
            }
            if let Permit::WaitUntil(at) = self.budget.permit(now) {
                return Ok(at);
            }
            self.start_one(action, target, now);
        }
        self.store.advance(orphans).await?;
        Ok(Timestamp::MAX)
    }

    fn start_one(&mut self, action: Action, target: Target, now: Timestamp) {
        self.busy.insert(target.machine_id);
        self.budget.record(now);
        let sending = Sending {
            store: self.store.clone(),
            defender: self.defender.clone(),
            clock: self.clock.clone(),
            action,
            options: self.changes.clone(),
            counted_at: now,
        };
        let machine_id = target.machine_id;
        self.in_flight.push(Box::pin(async move {
            let counted_at = sending.counted_at;
            Done::Sent(Sent { machine_id, counted_at, result: sending.send().await })
        }));
    }

    pub(super) fn sent(&mut self, sent: Sent) {
        self.busy.remove(&sent.machine_id);
        let now = self.clock.now();
        match sent.result {
            Ok(Ended::Called(outcome)) => self.learn(&outcome, now),
            Ok(Ended::NotCalled) => self.budget.release(sent.counted_at),
            Err(error) => {
                self.budget.release(sent.counted_at);
                self.pause(now, &error);
            }
        }
    }

    /// Draws conclusions for the calls that come next.
    fn learn(&mut self, outcome: &Outcome, now: Timestamp) {
        match outcome {
            Outcome::Throttled { wait, .. } => self.budget.block(after(now, *wait)),
            // The first costs only a fresh token; a second in a row means that none will do.
            Outcome::Unauthorized(refusal) => self.pause(now, refusal),
            Outcome::Accepted(_)
            | Outcome::ActiveRequest(_)
            | Outcome::Refused(_)
            | Outcome::NotSent { .. }
            | Outcome::Unknown { .. } => self.resume(),
        }
    }

    fn show_budget(&self, now: Timestamp) {
        for (window, left) in ["minute", "hour"].into_iter().zip(self.budget.left(now)) {
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            self.metrics.set(&metric::BUDGET_LEFT, &[("window", window)], f64::from(left));
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
        let recorded = self.store.record_intent(self.action.id, policy, self.clock.now()).await?;
        let intent = match recorded {
            Intent::Recorded(intent) => intent,
            Intent::Overruled(_) | Intent::Gone => return Ok(Ended::NotCalled),
        };
        let attempt = intent.attempt();
        let outcome = self.defender.stop_and_quarantine(&token, intent).await;
        if matches!(outcome, Outcome::Unauthorized(_)) {
            self.defender.forget(&token).await;
        }
        self.record(attempt, &outcome).await?;
        Ok(Ended::Called(outcome))
    }

    fn policy(&self) -> Option<Policy> {
        self.options.borrow().policies.get(&self.action.source).copied()
    }

    /// Writes the outcome, however long the disk stays full: nobody else knows it.
    async fn record(&self, attempt: u32, outcome: &Outcome) -> Result<(), StoreError> {
        loop {
            let now = self.clock.now();
            let advance = step::next(&self.action, attempt, outcome, now);
            let written = self.store.record_outcome(attempt, outcome.clone(), advance, now).await;
            self.tell(attempt, outcome, &written);
            match written {
                Err(StoreError::NotWritable(_)) => time::sleep(RECORD_RETRY).await,
                written => return written,
            }
        }
    }

    fn tell(&self, attempt: u32, outcome: &Outcome, written: &Result<(), StoreError>) {
        let (action, outcome_word) = (self.action.id, outcome.as_str());
        let said = outcome.refusal().map(ToString::to_string);
        let error = written.as_ref().err().map(ToString::to_string);
        tracing::info!(%action, attempt, outcome = outcome_word, said, error, "Defender was called");
    }
}
