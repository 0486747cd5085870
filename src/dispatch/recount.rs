//! Counts the calls that a restored database does not know: those that Defender's list has of the last hour.
//!
//! Until they are counted nothing is sent.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Api, MachineAction, after, before};
use crate::budget::{Permit, Share};
use crate::defender::ListFilter;
use crate::store::{Restored, Store, StoreError};

use super::look::{Read, read};
use super::{Dispatcher, Done};

/// For how long calls count: the longer of Microsoft's windows, with a margin.
const COUNTED: SignedDuration = SignedDuration::from_mins(61);

/// How long to wait after the list could not be read, or what it said could not be kept.
const RETRY: SignedDuration = SignedDuration::from_secs(15);

/// How far the counting is.
#[derive(Debug)]
pub(super) enum Recount {
    /// Nothing is to be counted.
    Done,
    /// To be begun, at this time at the earliest.
    Due(Restored, Timestamp),
    /// The list is being read.
    UnderWay,
}

/// What a read of the list brought.
#[derive(Debug)]
pub(super) struct Recounted {
    restored: Restored,
    list: Read,
}

impl Recount {
    /// Takes up a database that was restored, and finds out whether calls are to be counted.
    pub(super) async fn needed(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        if let Some(restored) = store.take_up_restored(now).await? {
            tracing::warn!(
                backup = %restored.from,
                "the database was restored from a backup: what may have been sent since is looked up before it is sent, \
                 and calls wait until those of the last hour are counted"
            );
        }
        let recent = store.restored().await?.filter(|restored| now < after(restored.at, COUNTED));
        Ok(match recent.filter(|restored| !restored.calls_counted) {
            Some(restored) => Self::Due(restored, now),
            None => Self::Done,
        })
    }
}

impl Dispatcher {
    /// Starts the counting if it is due; returns when to come back, unless everything is counted.
    pub(super) fn start_recount(&mut self, now: Timestamp) -> Option<Timestamp> {
        let (restored, due) = match &self.recount {
            Recount::Done => return None,
            Recount::UnderWay => return Some(Timestamp::MAX),
            Recount::Due(restored, due) => (*restored, *due),
        };
        if now >= after(restored.at, COUNTED) {
            self.recount = Recount::Done;
            return None;
        }
        // The last calls before the restore may not be in the list yet.
        let due = due.max(after(restored.at, self.options.settle.time));
        if now < due {
            return Some(due);
        }
        let steady = self.clock.steady();
        if let Permit::WaitUntil(at) = self.calls.permit(Api::MachineActions, Share::Whole, 1, steady) {
            return Some(self.time_of(at));
        }
        self.calls.record(Api::MachineActions, self.clock.moment(), steady);
        self.recount = Recount::UnderWay;
        let (defender, since) = (self.defender.clone(), before(restored.at, COUNTED));
        self.calls.start(Box::pin(async move {
            let list = read(&defender, Some(ListFilter::Since(since))).await;
            Done::Recounted(Recounted { restored, list })
        }));
        Some(Timestamp::MAX)
    }

    /// Counts what the list has. Machine actions of others count too: to the limit of the app registration or not, a few too
    /// many for an hour do no harm.
    pub(super) async fn recounted(&mut self, recounted: Recounted) {
        let Recounted { restored, list } = recounted;
        self.recount = match self.count_listed(restored, list).await {
            Ok(()) => Recount::Done,
            Err(error) => {
                tracing::warn!(error, "the calls before the restore are not counted yet; nothing is sent");
                Recount::Due(restored, after(self.clock.now(), RETRY))
            }
        };
    }

    async fn count_listed(&mut self, restored: Restored, list: Read) -> Result<(), String> {
        let list = list.map_err(|error| error.to_string())?;
        let made = |record: &MachineAction| record.created_at.unwrap_or(restored.at).min(restored.at);
        // Those before the backup are in it.
        let mut calls: Vec<_> = list.iter().map(made).filter(|at| *at > restored.from).collect();
        calls.sort_unstable();
        let kept = self.store.count_calls(restored, calls.clone()).await;
        kept.map_err(|error| error.to_string())?;
        tracing::info!(calls = calls.len(), "the calls before the restore are counted");
        let (now, steady) = (self.clock.now(), self.clock.steady());
        for call in calls {
            let counted_at = steady.before(now.duration_since(call));
            self.calls.change(Api::Quarantine, |budget| budget.record(counted_at));
        }
        Ok(())
    }
}
