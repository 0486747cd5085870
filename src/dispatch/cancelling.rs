//! Takes wishes to Defender: considers them after each look at its list, and makes the cancel calls.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time;

use crate::alert::{
    Action, ActionId, Advance, Api, CancelOutcome, MachineActionId, SourceName, Steady, Who, Wish,
};
use crate::budget::{Permit, Share};
use crate::clock::Clock;
use crate::defender::{Defender, TokenError};
use crate::store::{Cancel, CancelNote, Cancelled, Store, StoreError};
use crate::telemetry::metric;

use super::cancel::{self, CancelStep, Finding};
use super::track::{Listed, Records};
use super::{Dispatcher, Done, Options, PENDING_MAX};

/// How long to wait before an outcome is written again after the store could not take it.
const RECORD_RETRY: Duration = Duration::from_secs(1);

/// The cancel calls under way.
#[derive(Debug, Default)]
pub(super) struct Cancelling {
    /// The machine actions that are being cancelled; two actions may share one.
    under_way: HashSet<MachineActionId>,
}

/// What came of one cancel call.
#[derive(Debug)]
pub(super) struct CancelEnded {
    action: ActionId,
    machine_action: MachineActionId,
    counted_at: Steady,
    result: Result<Option<CancelOutcome>, CancelError>,
}

/// Why no call could be made.
#[derive(Debug, thiserror::Error)]
enum CancelError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Dispatcher {
    /// Cancels what was wanted so while its call was under way, and turned out not to be sent.
    pub(super) async fn apply_cancellations(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let count = self.store.apply_cancellations(now).await?;
        for _ in 0..count {
            self.metrics.count(&metric::STATE_CHANGES, &[("state", "cancelled")]);
        }
        Ok(())
    }

    /// Considers the wishes for actions whose records were just read, and those whose device has had its time.
    ///
    /// `advances` are the moves of the actions, in their order.
    pub(super) async fn consider_cancellations(
        &mut self,
        submitted: &[Action],
        records: &Records<'_>,
        advances: &mut [Advance],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ids: Vec<ActionId> = submitted.iter().map(|action| action.id).collect();
        let wishes = self.store.wishes(ids).await?;
        let wishes: HashMap<ActionId, Wish> = wishes.into_iter().map(|wish| (wish.action, wish)).collect();
        let mut notes = Vec::new();
        for (action, advance) in submitted.iter().zip(advances) {
            let wish = wishes.get(&action.id);
            if let Some(change) = advance.changes.last_mut() {
                change.facts.extend(wish.map(cancel::fact));
                continue;
            }
            let limit = self.options.pending_max(&action.source);
            let Some(wish) = wish.filter(|wish| !cancel::is_outlived(action, wish, limit, now)) else {
                self.end_the_wait(action, advance, limit, now).await?;
                continue;
            };
            match cancel::consider(action, wish, Listed::of(action, records).ours(), now) {
                CancelStep::Wait => {}
                CancelStep::Call => {
                    if let Permit::WaitUntil(at) = self.start_cancel(action) {
                        advance.patch.next_at = Some(self.time_of(at));
                    }
                }
                CancelStep::Note(finding) => notes.push(note(action.id, finding)),
                CancelStep::End(end) => *advance = end,
            }
        }
        self.store.note_cancellations(notes).await
    }

    /// Has an action cancelled whose device has had its time, or sees to it that it is looked at when it has.
    async fn end_the_wait(
        &mut self,
        action: &Action,
        advance: &mut Advance,
        limit: SignedDuration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(reason) = cancel::overdue(action, limit, now) {
            tracing::warn!(action = %action.id, reason, "the bridge wants it cancelled");
            let cancel = Cancel { action: action.id, reason, who: Who::Bridge, now };
            if self.store.cancel(cancel).await? == Cancelled::Wanted {
                advance.patch.next_at = Some(now);
            }
        } else if let Some(at) = cancel::limit_at(action, limit, now) {
            advance.patch.next_at = advance.patch.next_at.map(|next_at| next_at.min(at));
        }
        Ok(())
    }

    /// Starts a cancel call unless one is under way, or says when there may be one.
    fn start_cancel(&mut self, action: &Action) -> Permit {
        let counted_at = self.clock.steady();
        let permit = self.calls.permit(Api::Cancel, Share::Whole, 1, counted_at);
        let Some(machine_action) = action.machine_action.as_ref().map(|known| known.id.clone()) else {
            return permit;
        };
        if permit != Permit::Now || !self.cancelling.under_way.insert(machine_action.clone()) {
            return permit;
        }
        let action = action.id;
        self.calls.record(Api::Cancel, self.clock.moment(), counted_at);
        let (store, defender, clock) = (self.store.clone(), self.defender.clone(), self.clock.clone());
        self.calls.start(Box::pin(async move {
            let result = call(&store, &defender, &clock, action).await;
            Done::Cancelled(CancelEnded { action, machine_action, counted_at, result })
        }));
        Permit::Now
    }

    pub(super) fn cancel_ended(&mut self, ended: CancelEnded) {
        self.cancelling.under_way.remove(&ended.machine_action);
        let now = self.clock.steady();
        self.calls.change(Api::Cancel, |budget| match &ended.result {
            Ok(Some(outcome)) => {
                budget.answered(ended.counted_at, now);
                if let CancelOutcome::Throttled { wait, .. } = outcome {
                    budget.block(now.after(*wait));
                }
            }
            Ok(None) | Err(CancelError::Token(_)) => budget.release(ended.counted_at),
            // The call may have left.
            Err(CancelError::Store(_)) => {}
        });
        if let Err(error) = ended.result {
            tracing::warn!(action = %ended.action, %error, "Defender cannot be asked to cancel now");
        }
    }
}

fn note(action: ActionId, finding: Finding) -> CancelNote {
    let Finding { why, next_at, unlisted } = finding;
    if next_at.is_none() && unlisted == 0 {
        tell_given_up(action, &why);
    }
    CancelNote { action, why, next_at, unlisted }
}

/// Makes one cancel call: token, record, call, outcome.
async fn call(
    store: &Store,
    defender: &Defender,
    clock: &Clock,
    action: ActionId,
) -> Result<Option<CancelOutcome>, CancelError> {
    let token = defender.token().await?;
    let Some(recorded) = store.record_cancel(action, clock.now()).await? else {
        return Ok(None);
    };
    let tries = recorded.tries();
    let outcome = defender.cancel_machine_action(&token, recorded).await;
    if matches!(outcome, CancelOutcome::Unauthorized(_)) {
        defender.forget(&token).await;
    }
    loop {
        let now = clock.now();
        let then = cancel::after_call(tries, &outcome, now);
        tell(action, tries, &outcome, &then.finding);
        let Finding { why, next_at, unlisted } = then.finding;
        let note = CancelNote { action, why, next_at, unlisted };
        match store.record_cancel_outcome(outcome.clone(), note, then.look_at, now).await {
            Err(StoreError::NotWritable(_)) => time::sleep(RECORD_RETRY).await,
            written => return Ok(written.map(|()| Some(outcome))?),
        }
    }
}

fn tell(action: ActionId, tries: u32, outcome: &CancelOutcome, finding: &Finding) {
    let (outcome, why) = (outcome.as_str(), finding.why.as_str());
    if finding.next_at.is_none() {
        return tell_given_up(action, why);
    }
    tracing::info!(%action, tries, outcome, why, "Defender was asked to cancel");
}

fn tell_given_up(action: ActionId, why: &str) {
    tracing::error!(%action, why, "a cancellation was given up");
}

impl Options {
    /// Returns how long a machine action of a source may stay open.
    fn pending_max(&self, source: &SourceName) -> SignedDuration {
        self.pending_max.get(source).copied().unwrap_or(PENDING_MAX)
    }
}
