//! The calls of all parts of Defender's API: counted, on disk before they leave, and shown.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::alert::{Anchor, Api, BreakerReport, Mode, Moment, Severity, SourceName, Steady, Upstream};
use crate::budget::{self, Budget, KeptCall, Limits, Permit, Reserve, Share, Snapshot, resume};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::{Dispatcher, InFlight, Options};

/// How often budgets and queue are shown at most.
const SHOW_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// The budgets, and the calls that are about to leave.
pub(super) struct Calls {
    budgets: Vec<(Api, Budget)>,
    /// Counted, and not on disk yet.
    unsaved: Vec<(Api, Moment)>,
    /// What makes them; it runs once they are on disk.
    starting: Vec<InFlight>,
}

impl Calls {
    /// Takes up the calls of earlier runs.
    pub(super) fn new(options: &Options, kept: Vec<(Api, Moment)>, now: Moment, steady: Steady) -> Self {
        let kept: Vec<_> = kept.into_iter().map(|(api, moment)| KeptCall { api, moment }).collect();
        let budget = |api| (api, Budget::new(options.limits(api), resume(&kept, api, now, steady)));
        Self { budgets: Api::ALL.map(budget).into(), unsaved: Vec::new(), starting: Vec::new() }
    }

    pub(super) fn set_limits(&mut self, options: &Options) {
        for (api, budget) in &mut self.budgets {
            budget.set_limits(options.limits(*api));
        }
    }

    /// Says whether so many calls of a part of the API may be made.
    pub(super) fn permit(&self, api: Api, share: Share, count: usize, now: Steady) -> Permit {
        match self.budgets.iter().find(|(other, _)| *other == api) {
            Some((_, budget)) => budget.permit_several(share, count, now),
            None => Permit::Now,
        }
    }

    /// Counts a call that is about to leave.
    pub(super) fn record(&mut self, api: Api, now: Moment, steady: Steady) {
        self.change(api, |budget| budget.record(steady));
        self.unsaved.push((api, now));
    }

    /// Changes the budget of a part of the API.
    pub(super) fn change(&mut self, api: Api, change: impl FnOnce(&mut Budget)) {
        if let Some((_, budget)) = self.budgets.iter_mut().find(|(other, _)| *other == api) {
            change(budget);
        }
    }

    /// Starts something once the calls that it makes are on disk.
    pub(super) fn start(&mut self, call: InFlight) {
        self.starting.push(call);
    }

    /// Returns what the windows of a part of the API hold.
    pub(super) fn windows(&self, api: Api, now: Steady) -> Vec<budget::Use> {
        let found = self.budgets.iter().filter(|(other, _)| *other == api);
        found.flat_map(|(_, budget)| budget.windows(now)).collect()
    }
}

impl Options {
    /// Returns the limits of a part of the API.
    fn limits(&self, api: Api) -> Limits {
        let (per_minute, per_hour, reserve) = match api {
            Api::Quarantine => (self.calls_per_minute, self.calls_per_hour, self.reserve),
            Api::Machines | Api::Files | Api::FileStats | Api::FileMachines => {
                (self.lookups_per_minute, self.lookups_per_hour, self.reserve)
            }
            Api::MachineActions | Api::Cancel => (self.reads_per_minute, self.reads_per_hour, Reserve::NONE),
        };
        Limits { per_minute, per_hour, reserve }
    }
}

/// Where budgets and queue are shown.
#[derive(Debug)]
pub(super) struct Shown {
    to: watch::Sender<Arc<Snapshot>>,
    again_at: Steady,
    serial: u64,
}

impl Shown {
    pub(super) fn new(now: Steady) -> Self {
        Self { to: watch::Sender::new(Arc::new(Snapshot::empty(now))), again_at: now, serial: 0 }
    }
}

impl Dispatcher {
    /// Shows budgets and queue there, now and from now on.
    pub async fn showing(mut self, to: watch::Sender<Arc<Snapshot>>) -> Result<Self, StoreError> {
        self.shown.to = to;
        self.show_now(self.clock.steady()).await?;
        Ok(self)
    }

    /// Puts the calls on disk that are about to leave, and lets them.
    pub(super) async fn start_calls(&mut self) -> Result<(), StoreError> {
        if !self.calls.unsaved.is_empty() {
            self.store.record_calls(self.calls.unsaved.clone()).await?;
            self.calls.unsaved.clear();
        }
        self.in_flight.extend(mem::take(&mut self.calls.starting));
        Ok(())
    }

    /// Returns the time of day of a reading of the steady clock.
    pub(super) fn time_of(&self, at: Steady) -> Timestamp {
        Anchor::new(self.clock.now(), self.clock.steady()).time_of(at)
    }

    /// Shows budgets and queue, unless that was a moment ago; returns when to come back.
    pub(super) async fn show(&mut self) -> Result<Timestamp, StoreError> {
        let now = self.clock.steady();
        if now < self.shown.again_at {
            return Ok(self.time_of(self.shown.again_at));
        }
        self.show_now(now).await?;
        Ok(Timestamp::MAX)
    }

    /// Shows budgets and queue.
    pub(super) async fn show_now(&mut self, now: Steady) -> Result<(), StoreError> {
        self.shown.again_at = now.after(SHOW_EVERY);
        let waiting = self.store.waiting().await?;
        let pause = self.held_until().duration_since(self.clock.now());
        self.shown.serial = self.shown.serial.saturating_add(1);
        let snapshot = Snapshot {
            serial: self.shown.serial,
            taken_at: now,
            budgets: self.calls.budgets.clone(),
            queued: budget::Waiting::new(waiting.queued),
            coming: budget::Waiting::new(waiting.coming),
            paused_until: pause.is_positive().then(|| now.after(pause)),
            upstreams: self.upstreams.reports(),
            waits_for_first_look: !self.first_look.is_over(),
            enforced: Arc::new(self.options.enforced()),
            forecast: OnceLock::new(),
        };
        self.measure(&snapshot, now);
        self.shown.to.send_replace(Arc::new(snapshot));
        Ok(())
    }

    /// Returns when a breaker that holds sending lets the next call through; long ago if none does.
    fn held_until(&self) -> Timestamp {
        let holds = |report: &BreakerReport| {
            let refuses = report.open.as_ref().is_some_and(|open| open.trouble.is_refusal());
            report.upstream != Upstream::MachineActions || refuses
        };
        let open = self.upstreams.reports().into_iter().filter(holds);
        let until = open.filter_map(|report| report.open?.next_try_at);
        until.max().unwrap_or(Timestamp::MIN)
    }

    fn measure(&self, snapshot: &Snapshot, now: Steady) {
        for (api, budget) in &snapshot.budgets {
            for window in budget.windows(now) {
                let labels = [("api", api.as_str()), ("window", window.window)];
                self.metrics.set(&metric::BUDGET_USED, &labels, number(window.used));
                self.metrics.set(&metric::BUDGET_LIMIT, &labels, number(window.limit));
                self.metrics.set(&metric::BUDGET_RESERVE, &labels, number(window.reserve));
            }
        }
        for severity in Severity::ALL {
            let waiting = number(snapshot.queued.of(Some(severity)));
            self.metrics.set(&metric::QUEUE, &[("severity", severity.as_str())], waiting);
        }
    }
}

impl Options {
    /// Returns the sources whose actions are sent without a person, and from which severity on.
    fn enforced(&self) -> HashMap<SourceName, Severity> {
        let enforced = self.policies.iter().filter(|(_, policy)| policy.mode() == Mode::Enforce);
        enforced.map(|(name, policy)| (name.clone(), policy.min_severity)).collect()
    }

    /// Returns how many quarantine calls may be under way at once: high and critical have places of their own.
    pub(super) fn places(&self, share: Share) -> usize {
        match share {
            Share::Whole => self.in_flight_max,
            Share::AboveReserve => self.in_flight_max.saturating_sub(self.reserve.of(self.in_flight_max)),
        }
    }
}

pub(super) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
