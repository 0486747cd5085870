//! Looks at Defender's list of machine actions, for uncertain and for submitted actions at once.

use jiff::Timestamp;

use crate::alert::{
    Action, Advance, Api, MachineAction, MachineActionId, State, Steady, Unsettled, Upstream, after,
};
use crate::budget::{Permit, Share};
use crate::defender::{Defender, ListFilter, ReadError};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::breaker::Heard;
use super::hold::{heard_of, heard_of_token, throttled};
use super::track::{Listed, Records};
use super::{Dispatcher, Done, Match, Passes, find, look_again, reconcile, settle};

/// How many uncertain actions are looked up in one read; each adds 60 characters to its address.
const UNSETTLED_MAX: u32 = 20;

/// How many submitted actions are looked up in one read.
const SUBMITTED_MAX: u32 = 40;

/// What a look brought.
#[derive(Debug)]
pub(super) struct Looked {
    /// What the list says is as old as this: its answer may have been long on its way.
    asked_at: (Timestamp, Steady),
    unsettled: Vec<Unsettled>,
    submitted: Vec<Action>,
    passes: Passes,
    on_machines: Read,
    by_id: Read,
}

pub(super) type Read = Result<Vec<MachineAction>, ReadError>;

impl Dispatcher {
    /// Starts a look if one is due; returns when to come back.
    pub(super) async fn start_look(&mut self, now: Timestamp) -> Result<Timestamp, StoreError> {
        if self.is_looking {
            return Ok(Timestamp::MAX);
        }
        let unsettled = self.store.unsettled(now, UNSETTLED_MAX).await?;
        let submitted = self.store.submitted(now, SUBMITTED_MAX).await?;
        if unsettled.is_empty() && submitted.is_empty() {
            return Ok(Timestamp::MAX);
        }
        if now < self.next_look {
            return Ok(self.next_look);
        }
        // One read for each kind.
        let reads = [unsettled.is_empty(), submitted.is_empty()].into_iter().filter(|none| !none).count();
        let steady = self.clock.steady();
        if let Permit::WaitUntil(at) = self.calls.permit(Api::MachineActions, Share::Whole, reads, steady) {
            return Ok(self.time_of(at));
        }
        let passes = match self.upstreams.to_look(now) {
            Ok(passes) => passes,
            Err(at) => return Ok(at),
        };
        for _ in 0..reads {
            self.calls.record(Api::MachineActions, self.clock.moment(), steady);
        }
        self.is_looking = true;
        let asked_at = (now, self.clock.steady());
        self.next_look = after(now, self.options.look_every);
        let defender = self.defender.clone();
        self.calls.start(Box::pin(async move {
            Done::Looked(look(&defender, unsettled, submitted, (passes, asked_at)).await)
        }));
        Ok(Timestamp::MAX)
    }

    /// Moves the actions that were looked at, as far as the list could be read.
    pub(super) async fn looked(&mut self, looked: Looked) -> Result<(), StoreError> {
        self.is_looking = false;
        let now = self.clock.now();
        self.hear_list(&looked, now);
        let mut advances = Vec::new();
        match &looked.on_machines {
            Ok(list) => {
                for unsettled in &looked.unsettled {
                    self.first_look.done(unsettled.action.id);
                    let found = find(unsettled, list);
                    let (asked_at, steady) = looked.asked_at;
                    let rule = self.options.settle;
                    let advance = settle(unsettled, found, rule, asked_at);
                    let advance = self.waited.no_sooner(advance, unsettled, (rule.time, steady));
                    self.count_settled(found, &advance);
                    tell_crashes(unsettled, &advance);
                    advances.push(advance);
                }
            }
            Err(error) => self.tell_unread(error, &looked.unsettled, now),
        }
        match &looked.by_id {
            Ok(list) => {
                let by_id: Records<'_> = list.iter().map(|record| (record.id.as_str(), record)).collect();
                let mut tracked = Vec::with_capacity(looked.submitted.len());
                for action in &looked.submitted {
                    let listed = Listed::of(action, &by_id);
                    self.tell_another(action, listed);
                    tracked.push(look_again(action, listed.ours(), now));
                }
                self.consider_cancellations(&looked.submitted, &by_id, &mut tracked, now).await?;
                advances.append(&mut tracked);
            }
            Err(error) => {
                tracing::warn!(%error, "Defender's list cannot be read; what was submitted is looked at later");
            }
        }
        for advance in &advances {
            self.tell(advance);
        }
        self.store.advance(advances).await
    }

    /// Tells, once in each run, of a record that is not about its action: nobody knows what becomes of that.
    fn tell_another(&mut self, action: &Action, listed: Listed<'_>) {
        if let Listed::Another(record) = listed
            && self.told_another.insert(action.id)
        {
            let (action, machine_action) = (action.id, &record.id);
            tracing::error!(%action, machine_action,
                "Defender's record of this machine action names another device or file; the action is not moved by it: see \
                 in the portal whether its file was quarantined");
        }
    }

    /// Draws the conclusion for the list and the token endpoint; of two reads the worse counts.
    fn hear_list(&mut self, looked: &Looked, now: Timestamp) {
        let error = looked.on_machines.as_ref().err().or(looked.by_id.as_ref().err());
        let of_token = match error {
            Some(ReadError::Token(error)) => heard_of_token(error),
            _ => Heard::Good,
        };
        let Passes { token, call } = looked.passes;
        self.hear(Upstream::Token, token, of_token, now);
        self.hear(Upstream::MachineActions, call, error.map_or(Heard::Good, heard_of), now);
        if let Some(wait) = error.and_then(throttled) {
            let until = self.clock.steady().after(wait);
            self.calls.change(Api::MachineActions, |budget| budget.block(until));
            self.next_look = self.next_look.max(after(now, wait));
        }
    }

    fn count_settled(&self, found: Match<'_>, advance: &Advance) {
        let result = match (found, advance.changes.last().map(|change| change.to)) {
            (_, None) => return,
            (_, Some(State::Submitted)) => "adopted",
            (_, Some(State::Superseded)) => "superseded",
            (_, Some(_)) => "not_found",
        };
        self.metrics.count(&metric::RECONCILED, &[("result", result)]);
    }

    fn tell(&self, advance: &Advance) {
        for change in &advance.changes {
            self.metrics.count(&metric::STATE_CHANGES, &[("state", change.to.as_str())]);
            tracing::info!(action = %advance.action, state = %change.to, why = change.why, "moved");
        }
    }
}

/// Tells of an action whose calls the service did not survive, each time it is sent again.
fn tell_crashes(unsettled: &Unsettled, advance: &Advance) {
    let is_again = advance.changes.last().is_some_and(|change| change.to == State::Queued);
    let (action, crashes) = (unsettled.action.id, unsettled.crashes);
    if is_again && crashes >= reconcile::CRASHES_MAX {
        tracing::error!(%action, crashes,
            "the service ended during each of the last calls for this action; if nobody stopped it, see the log for why");
    }
}

async fn look(
    defender: &Defender,
    unsettled: Vec<Unsettled>,
    submitted: Vec<Action>,
    (passes, asked_at): (Passes, (Timestamp, Steady)),
) -> Looked {
    let on_machines = machines_filter(&unsettled);
    let by_id = ids_filter(&submitted);
    Looked {
        asked_at,
        on_machines: read(defender, on_machines).await,
        by_id: read(defender, by_id).await,
        unsettled,
        submitted,
        passes,
    }
}

pub(super) async fn read(defender: &Defender, filter: Option<ListFilter>) -> Read {
    let Some(filter) = filter else {
        return Ok(Vec::new());
    };
    let token = defender.token().await?;
    let list = defender.machine_actions(&token, &filter).await;
    if matches!(list, Err(ReadError::Unauthorized(_) | ReadError::Forbidden(_))) {
        defender.forget(&token).await;
    }
    list
}

fn machines_filter(unsettled: &[Unsettled]) -> Option<ListFilter> {
    let since = unsettled.iter().map(reconcile::since).min()?;
    let targets = unsettled.iter().filter_map(|it| it.action.target);
    let machines = targets.map(|target| target.machine_id).collect();
    Some(ListFilter::OnMachines { machines, since })
}

fn ids_filter(submitted: &[Action]) -> Option<ListFilter> {
    let known = submitted.iter().filter_map(|action| action.machine_action.as_ref());
    let ids: Vec<MachineActionId> = known.map(|record| record.id.clone()).collect();
    (!ids.is_empty()).then_some(ListFilter::Ids(ids))
}
