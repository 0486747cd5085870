//! The loop that takes an action from acceptance to its end, at its own pace.
//!
//! `turn` does all that is due and starts what takes time; `run` repeats it. What must be exact is in pure files:
//! `answers`, `backoff`, `breaker`, `cancel`, `first_look`, `reconcile`, `resolve`, `step`, `track`, `upstreams`, `waited`.

mod answers;
mod backoff;
mod breaker;
mod calls;
mod cancel;
mod cancelling;
mod decide;
mod decided;
mod facts;
mod first_look;
mod hold;
mod look;
mod lookups;
mod reconcile;
mod recount;
pub mod resolve;
mod send;
mod step;
mod stop;
mod track;
mod upstreams;
mod waited;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{self, Instant};

use crate::alert::{ActionId, Anchor, MachineId, SourceName, State, after};
use crate::budget::{Fairness, Reserve};
use crate::clock::Clock;
use crate::defender::Defender;
use crate::policy::Policy;
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, metric};

pub use answers::{Answers, KnownAnswer, Order};
pub use breaker::{Breaker, Heard, Pass};
pub use cancel::{AfterCall, CancelStep, Finding, after_call, consider, overdue};
pub use reconcile::{Match, Settle, find, settle};
pub use step::next;
pub use track::look_again;
pub use upstreams::{Passes, Upstreams};

use calls::{Calls, Shown};
use cancelling::{CancelEnded, Cancelling};
use decide::{Next, SourceRules};
use first_look::FirstLook;
use look::Looked;
use lookups::{Asked, Lookups};
use recount::{Recount, Recounted};
use resolve::Rules;
use send::Sent;
use waited::Waited;

/// How long the loop sleeps at most when nothing is due.
const NAP_MAX: SignedDuration = SignedDuration::from_secs(30);

/// How long the loop waits after the store failed.
const STORE_RETRY: SignedDuration = SignedDuration::from_secs(1);

/// How many accepted actions are decided in one transaction.
const DECIDE_MAX: u32 = 200;

/// How long a machine action may stay open if its source does not say.
pub const PENDING_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How dispatch behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// What each source may do.
    pub policies: HashMap<SourceName, Policy>,
    /// How each source's devices and files are found.
    pub rules: HashMap<SourceName, Rules>,
    /// How long a machine action of each source may stay open at Defender; [`PENDING_MAX`] if it is not here.
    pub pending_max: HashMap<SourceName, SignedDuration>,
    /// Quarantine calls a minute.
    pub calls_per_minute: u32,
    /// Quarantine calls an hour.
    pub calls_per_hour: u32,
    /// Look-ups of devices a minute, and as many of files.
    pub lookups_per_minute: u32,
    /// Look-ups of devices an hour, and as many of files.
    pub lookups_per_hour: u32,
    /// Reads of Defender's list a minute, and as many calls that cancel.
    pub reads_per_minute: u32,
    /// Reads of Defender's list an hour, and as many calls that cancel.
    pub reads_per_hour: u32,
    /// What is kept of calls and look-ups for high and critical.
    pub reserve: Reserve,
    /// How many quarantine calls may be under way at once.
    pub in_flight_max: usize,
    /// When an uncertain action may be sent again.
    pub settle: Settle,
    /// How long after it succeeded a machine action is shared by newer alerts.
    pub share_window: SignedDuration,
    /// How often Defender's list is read at most.
    pub look_every: SignedDuration,
}

impl Options {
    /// Microsoft's limits and the intervals that suit them, for these sources.
    ///
    /// Their devices and files are found by the usual rules.
    pub fn new(policies: HashMap<SourceName, Policy>) -> Self {
        Self {
            rules: policies.keys().map(|name| (name.clone(), Rules::default())).collect(),
            policies,
            pending_max: HashMap::new(),
            calls_per_minute: 100,
            calls_per_hour: 1_500,
            lookups_per_minute: 100,
            lookups_per_hour: 1_500,
            reads_per_minute: 100,
            reads_per_hour: 1_500,
            reserve: Reserve::default(),
            in_flight_max: 8,
            settle: Settle::after(SignedDuration::from_secs(60)),
            share_window: SignedDuration::from_mins(10),
            // Two reads a look: 1,440 an hour, under Defender's 1,500.
            look_every: SignedDuration::from_secs(5),
        }
    }

    fn source(&self, name: &SourceName) -> Option<SourceRules<'_>> {
        let (policy, rules) = self.policies.get(name).zip(self.rules.get(name))?;
        Some(SourceRules { policy, rules })
    }
}

/// Takes actions from acceptance to their end.
pub struct Dispatcher {
    store: Store,
    defender: Defender,
    clock: Clock,
    metrics: Metrics,
    options: Options,
    /// Other options, when the configuration is read again.
    changes: watch::Receiver<Options>,
    /// The start of this run: what counts in a period is reckoned from it by the steady clock.
    anchor: Anchor,
    calls: Calls,
    /// How often the action that has waited longest was passed over.
    fairness: Fairness,
    lookups: Lookups,
    cancelling: Cancelling,
    recount: Recount,
    upstreams: Upstreams,
    /// Unsettled actions for which the list was not read yet: until then nothing is sent.
    first_look: FirstLook,
    waited: Waited,
    /// Both clocks in the last turn.
    last_turn: Anchor,
    /// When the store is tried again after it could not take an intent.
    store_retry_at: Timestamp,
    /// When it may be said again, loudly, that the list cannot be read.
    next_alarm: Timestamp,
    /// When Defender last took an action.
    taken_at: Option<Timestamp>,
    shown: Shown,
    in_flight: FuturesUnordered<InFlight>,
    /// Machines to which a call is under way.
    busy: HashSet<MachineId>,
    is_looking: bool,
    /// Actions of which it was said that the record under their id is of another.
    told_another: HashSet<ActionId>,
    has_undecided: bool,
    next_look: Timestamp,
    next_expiry: Timestamp,
    /// When the loop last came round, for the watchdog.
    turned_at: watch::Sender<Instant>,
}

type InFlight = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What a future that took time brings back.
#[derive(Debug)]
enum Done {
    Sent(Sent),
    Looked(Looked),
    Asked(Asked),
    Cancelled(CancelEnded),
    Recounted(Recounted),
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Takes up where the last run ended: the calls of the last hour count, and intents without an outcome
    /// become uncertain.
    pub async fn start(
        store: Store,
        defender: Defender,
        mut changes: watch::Receiver<Options>,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let options = changes.borrow_and_update().clone();
        let now = clock.now();
        store.settle_after_restart(clock.moment()).await?;
        let unsettled = store.uncertain().await?;
        if !unsettled.is_empty() {
            tracing::warn!(
                unsettled = unsettled.len(),
                "calls have an unknown outcome; nothing is sent before Defender's list was read for each"
            );
        }
        let steady = clock.steady();
        let recount = Recount::needed(&store, now).await?;
        let anchor = Anchor::new(now, steady);
        let calls = Calls::new(&options, store.calls().await?, clock.moment(), steady);
        metrics.set(&metric::SENDING_PAUSED, &[], 0.0);
        let dispatcher = Self {
            store,
            defender,
            clock,
            metrics,
            options,
            changes,
            anchor,
            calls,
            fairness: Fairness::default(),
            lookups: Lookups::default(),
            cancelling: Cancelling::default(),
            recount,
            upstreams: Upstreams::default(),
            first_look: FirstLook::new(unsettled),
            waited: Waited::new(steady),
            last_turn: anchor,
            store_retry_at: Timestamp::MIN,
            next_alarm: Timestamp::MIN,
            taken_at: None,
            shown: Shown::new(steady),
            in_flight: FuturesUnordered::new(),
            busy: HashSet::new(),
            is_looking: false,
            told_another: HashSet::new(),
            has_undecided: false,
            next_look: now,
            next_expiry: now,
            turned_at: watch::Sender::new(Instant::now()),
        };
        dispatcher.show_breakers();
        Ok(dispatcher)
    }

    /// Shows when the loop last came round, which it does twice a minute or more often.
    pub fn turned_at(&self) -> watch::Receiver<Instant> {
        self.turned_at.subscribe()
    }

    /// Works until told to stop; then finishes the calls that are under way.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let store = self.store.clone();
        while !*stop.borrow_and_update() {
            self.turned_at.send_replace(Instant::now());
            let wake = self.turn().await.unwrap_or_else(|error| {
                tracing::error!(%error, "dispatch cannot use the store");
                after(self.clock.now(), STORE_RETRY)
            });
            let nap = wake.duration_since(self.clock.now());
            let shortest = if self.has_undecided { Duration::ZERO } else { Duration::from_millis(5) };
            let nap = Duration::try_from(nap).unwrap_or_default().max(shortest);
            tokio::select! {
                // The same things happen in the same order, so that a simulation can be run again.
                biased;
                Some(done) = self.in_flight.next() => self.finished(done).await,
                () = store.work_arrived() => {}
                () = time::sleep(nap) => {}
                _ = stop.changed() => {}
                Ok(()) = self.changes.changed() => self.adopt(),
            }
        }
        self.finish().await;
    }

    /// Works until nothing more can be done at this moment of the clock. For tests and the demo.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        loop {
            self.turn().await?;
            if self.has_undecided {
                continue;
            }
            let Some(done) = self.in_flight.next().await else {
                return self.show_now(self.clock.steady()).await;
            };
            self.finished(done).await;
        }
    }

    async fn finish(&mut self) {
        while let Some(done) = self.in_flight.next().await {
            self.finished(done).await;
        }
    }

    /// Does all that is due and starts what takes time; returns when to come back.
    pub async fn turn(&mut self) -> Result<Timestamp, StoreError> {
        let now = self.clock.now();
        self.heed_clock(now).await?;
        self.adopt_changes();
        self.apply_cancellations(now).await?;
        self.expire(now).await?;
        // A batch at a time, the most urgent first: what is behind it must not keep them from being sent.
        self.has_undecided = self.decide(now).await?;
        self.start_lookups(now).await?;
        let mut wake = after(now, NAP_MAX);
        wake = wake.min(self.start_look(now).await?);
        wake = wake.min(self.start_sending(now).await?);
        self.start_calls().await?;
        wake = wake.min(self.show().await?);
        if self.has_undecided {
            return Ok(now);
        }
        // What is due already and did not start waits for one of the above or for something in flight.
        match self.store.next_due().await? {
            Some(due) if due > now => Ok(wake.min(due)),
            Some(_) | None => Ok(wake),
        }
    }

    /// Takes over other options, if there are any.
    fn adopt_changes(&mut self) {
        if self.changes.has_changed().unwrap_or(false) {
            self.adopt();
        }
    }

    fn adopt(&mut self) {
        self.options = self.changes.borrow_and_update().clone();
        self.calls.set_limits(&self.options);
    }

    async fn expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if now >= self.next_expiry {
            self.next_expiry = after(now, SignedDuration::from_secs(1));
            let count = self.store.expire_due(now).await?;
            for _ in 0..count {
                self.metrics.count(&metric::STATE_CHANGES, &[("state", "expired")]);
            }
        }
        Ok(())
    }

    /// Decides a batch of accepted actions, as far as nothing must be asked; returns whether there were any.
    async fn decide(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let undecided = self.store.undecided(DECIDE_MAX).await?;
        if undecided.is_empty() {
            return Ok(false);
        }
        // A source is known here before it can deliver: what it has just delivered finds its policy.
        self.adopt_changes();
        let (mut advances, mut ready) = (Vec::new(), Vec::new());
        for action in &undecided {
            match self.next_step(action, now) {
                Next::Ready(undecided) => ready.push(*undecided),
                Next::Ask(_) => {
                    self.metrics.count(&metric::STATE_CHANGES, &[("state", State::Resolving.as_str())]);
                    advances.push(decide::look_for(action, self.options.policies.get(&action.source), now));
                }
            }
        }
        self.store.advance(advances).await?;
        self.decide_ready(ready, now).await?;
        Ok(true)
    }

    async fn finished(&mut self, done: Done) {
        match done {
            Done::Sent(sent) => self.sent(sent),
            Done::Asked(asked) => self.asked(asked),
            Done::Cancelled(ended) => self.cancel_ended(ended),
            Done::Recounted(recounted) => self.recounted(recounted).await,
            Done::Looked(looked) => {
                if let Err(error) = self.looked(looked).await {
                    tracing::error!(%error, "dispatch cannot record what Defender's list says");
                }
            }
        }
    }
}
