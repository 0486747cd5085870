//! Looks at Defender's list of machine actions, for uncertain and for submitted actions at once.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Action, Advance, MachineAction, MachineActionId, State, Unsettled, after};
use crate::defender::{Defender, ListFilter, ReadError};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::{Dispatcher, Done, Match, find, look_again, reconcile, settle};

/// How many uncertain actions are looked up in one read; each adds 60 characters to its address.
const UNSETTLED_MAX: u32 = 20;

/// How many submitted actions are looked up in one read.
const SUBMITTED_MAX: u32 = 40;

/// How long to wait after the list could not be read.
const RETRY: SignedDuration = SignedDuration::from_secs(15);

/// What a look brought.
#[derive(Debug)]
pub(super) struct Looked {
    unsettled: Vec<Unsettled>,
    submitted: Vec<Action>,
    on_machines: Read,
    by_id: Read,
}

type Read = Result<Vec<MachineAction>, ReadError>;

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
        self.is_looking = true;
        self.next_look = after(now, self.options.look_every);
        let defender = self.defender.clone();
        self.in_flight
            .push(Box::pin(async move { Done::Looked(look(&defender, unsettled, submitted).await) }));
        Ok(Timestamp::MAX)
    }

    /// Moves the actions that were looked at, as far as the list could be read.
    pub(super) async fn looked(&mut self, looked: Looked) -> Result<(), StoreError> {
        self.is_looking = false;
        let now = self.clock.now();
        let mut advances = Vec::new();
        match &looked.on_machines {
            Ok(list) => {
                for unsettled in &looked.unsettled {
                    let found = find(unsettled, list);
                    let advance = settle(unsettled, found, self.options.settle, now);
                    self.count_settled(found, &advance);
                    advances.push(advance);
                }
            }
            Err(error) => self.look_failed(error, now),
        }
        match &looked.by_id {
            Ok(list) => {
                let by_id: HashMap<&str, &MachineAction> =
                    list.iter().map(|record| (record.id.as_str(), record)).collect();
                let mut tracked = Vec::with_capacity(looked.submitted.len());
                for action in &looked.submitted {
                    let id = action.machine_action.as_ref().map(|known| known.id.as_str());
                    let record = id.and_then(|id| by_id.get(id)).copied();
                    tracked.push(look_again(action, record, now));
                }
                self.consider_cancellations(&looked.submitted, &by_id, &mut tracked, now).await?;
                advances.append(&mut tracked);
            }
            Err(error) => self.look_failed(error, now),
        }
        for advance in &advances {
            self.tell(advance);
        }
        self.store.advance(advances).await
    }

    fn look_failed(&mut self, error: &ReadError, now: Timestamp) {
        let wait = match error {
            ReadError::Throttled { wait, .. } => *wait,
            _ => RETRY,
        };
        self.next_look = self.next_look.max(after(now, wait));
        tracing::warn!(%error, "Defender's list cannot be read; nothing that is uncertain is sent again");
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

async fn look(defender: &Defender, unsettled: Vec<Unsettled>, submitted: Vec<Action>) -> Looked {
    let on_machines = machines_filter(&unsettled);
    let by_id = ids_filter(&submitted);
    Looked {
        on_machines: read(defender, on_machines).await,
        by_id: read(defender, by_id).await,
        unsettled,
        submitted,
    }
}

async fn read(defender: &Defender, filter: Option<ListFilter>) -> Read {
    let Some(filter) = filter else {
        return Ok(Vec::new());
    };
    let token = defender.token().await?;
    let list = defender.machine_actions(&token, &filter).await;
    if matches!(list, Err(ReadError::Unauthorized(_))) {
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
