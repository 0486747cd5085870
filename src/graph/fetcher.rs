//! The loop that fetches the alerts that are to be fetched, and has them accepted.
//!
//! It looks at the store, and is only woken by a new delivery. If the process dies between a fetch and what comes of it,
//! the alert is fetched again, and what it holds is recognised.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time;

use crate::alert::{SourceName, Steady, after};
use crate::clock::Clock;
use crate::mapping::{Format, Mapped, Mapper, MapperError};
use crate::store::{PendingFetch, Store, StoreError};
use crate::telemetry::{Metrics, metric};

use super::step::{Step, after_failures, next};
use super::{Given, Graph};

/// How long the loop sleeps at most when nothing is due.
const NAP_MAX: SignedDuration = SignedDuration::from_secs(30);

/// How long the loop waits after the store failed.
const STORE_RETRY: SignedDuration = SignedDuration::from_secs(1);

/// How many alerts are asked for at once.
const IN_FLIGHT_MAX: usize = 4;

/// How many due fetches are looked at in one turn.
const DUE_MAX: u32 = 100;

/// How long each source's alerts are worth fetching.
pub type MaxAges = HashMap<SourceName, SignedDuration>;

/// What the loop needs from the rest of the service.
#[derive(Debug)]
pub struct Parts {
    /// The durable state.
    pub store: Store,
    /// The client; without one nothing is fetched, and what waits expires.
    pub graph: Option<Graph>,
    /// The threads that read payloads.
    pub mapper: Mapper,
    /// How alerts are read: `graph-alert-v2`.
    pub format: Arc<Format>,
    /// How long each source's alerts are worth fetching.
    pub max_ages: watch::Receiver<MaxAges>,
    /// The time.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Metrics,
}

/// Fetches alerts from Microsoft Graph.
pub struct AlertFetcher {
    parts: Parts,
    in_flight: FuturesUnordered<InFlight>,
    /// What is asked for now, by its key in the store.
    busy: HashSet<i64>,
    /// By the clock that nobody can set.
    paused_until: Steady,
}

type InFlight = Pin<Box<dyn Future<Output = (PendingFetch, Result<Brought, Step>)> + Send>>;

/// An alert that was fetched, and what it was read as.
#[derive(Debug)]
struct Brought(Mapped);

impl fmt::Debug for AlertFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertFetcher").finish_non_exhaustive()
    }
}

impl AlertFetcher {
    /// Makes the loop; nothing happens before it runs.
    pub fn new(parts: Parts) -> Self {
        let in_flight = FuturesUnordered::new();
        Self { parts, in_flight, busy: HashSet::new(), paused_until: Steady::from_millis(i64::MIN) }
    }

    /// Works until told to stop. What is under way then is fetched again at the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let store = self.parts.store.clone();
        while !*stop.borrow_and_update() {
            let wake = self.turn().await.unwrap_or_else(|error| {
                tracing::error!(%error, "the fetching of alerts cannot use the store");
                after(self.parts.clock.now(), STORE_RETRY)
            });
            let nap = wake.duration_since(self.parts.clock.now());
            let nap = Duration::try_from(nap).unwrap_or_default().max(Duration::from_millis(5));
            tokio::select! {
                Some((fetch, result)) = self.in_flight.next() => self.finished(fetch, result).await,
                () = store.fetch_wanted() => {}
                () = time::sleep(nap) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Works until nothing more can be done at this moment of the clock. For tests.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        loop {
            self.turn().await?;
            let Some((fetch, result)) = self.in_flight.next().await else {
                return Ok(());
            };
            self.finished(fetch, result).await;
        }
    }

    /// Starts what is due; returns when to come back.
    async fn turn(&mut self) -> Result<Timestamp, StoreError> {
        let (now, left) = (self.parts.clock.now(), self.paused_until.since(self.parts.clock.steady()));
        for fetch in self.parts.store.due_fetches(now, DUE_MAX).await? {
            if self.busy.contains(&fetch.key()) {
                continue;
            }
            match self.without_asking(&fetch, now) {
                Some(step) => self.step(fetch, step).await?,
                None if !left.is_positive() && self.in_flight.len() < IN_FLIGHT_MAX => self.start(fetch),
                None => {}
            }
        }
        let (count, next) = self.parts.store.pending_fetches().await?;
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a count of rows fits")]
        self.parts.metrics.set(&metric::FETCHES_PENDING, &[], count as f64);
        let wake = after(now, NAP_MAX);
        let wake = if left.is_positive() { wake.min(after(now, left)) } else { wake };
        Ok(next.filter(|next| *next > now).map_or(wake, |next| wake.min(next)))
    }

    /// Returns the step of a fetch for which Graph need not be asked.
    fn without_asking(&self, fetch: &PendingFetch, now: Timestamp) -> Option<Step> {
        let max_age = self.parts.max_ages.borrow().get(fetch.source()).copied();
        let Some(max_age) = max_age else {
            return Some(Step::Fail { why: "its source is not in the configuration any more".to_owned() });
        };
        let expires_at = after(fetch.wanted_at(), max_age);
        if now >= expires_at {
            let why = format!("not fetched within the source's max_age of {} s", max_age.as_secs());
            return Some(Step::Fail { why });
        }
        if self.parts.graph.is_none() {
            let why = "[graph] is not enabled; enable it, or the fetch expires".to_owned();
            return Some(Step::Again { wait: expires_at.duration_since(now), why });
        }
        None
    }

    fn start(&mut self, fetch: PendingFetch) {
        let Some(graph) = self.parts.graph.clone() else {
            return;
        };
        self.busy.insert(fetch.key());
        let (mapper, format) = (self.parts.mapper.clone(), Arc::clone(&self.parts.format));
        let clock = self.parts.clock.clone();
        self.in_flight.push(Box::pin(async move {
            let asking = Asking { fetch: &fetch, now: clock.now() };
            let result = match asking.ask(&graph).await {
                Ok(alert) => asking.read(mapper.map(format, alert).await),
                Err(step) => Err(step),
            };
            (fetch, result)
        }));
    }

    async fn finished(&mut self, fetch: PendingFetch, result: Result<Brought, Step>) {
        self.busy.remove(&fetch.key());
        let done = match result {
            Ok(brought) => self.accept(fetch, brought).await,
            Err(step) => self.step(fetch, step).await,
        };
        if let Err(error) = done {
            tracing::error!(%error, "what came of the fetch of an alert cannot be stored; it is fetched again");
        }
    }

    async fn accept(&mut self, fetch: PendingFetch, Brought(mapped): Brought) -> Result<(), StoreError> {
        let (source, alert_id) = (fetch.source().clone(), fetch.alert_id().clone());
        let delivery = fetch.delivery_id();
        let problems: Vec<&'static str> =
            mapped.refused.iter().flat_map(|it| &it.problems).map(|it| it.reason.as_str()).collect();
        let now = self.parts.clock.now();
        let accepted = self.parts.store.accept_fetched(fetch, mapped.alerts, mapped.refused, now).await?;
        let Some(accepted) = accepted else {
            return Ok(());
        };
        for reason in problems {
            let labels = [("source", source.as_str()), ("reason", reason)];
            self.parts.metrics.count(&metric::ALERTS_REFUSED, &labels);
        }
        self.count(&source, "fetched");
        let actions: usize = accepted.alerts.iter().map(|alert| alert.actions.len()).sum();
        tracing::info!(%source, %delivery, %alert_id, actions, "the alert was fetched");
        Ok(())
    }

    async fn step(&mut self, fetch: PendingFetch, step: Step) -> Result<(), StoreError> {
        self.tell(&fetch, &step);
        let (wait, why) = match step {
            Step::Fail { why } => {
                return self.parts.store.fetch_failed(fetch, why, self.parts.clock.now()).await;
            }
            Step::Again { wait, why } => (wait, why),
            Step::Pause { wait, why } => {
                self.paused_until = self.paused_until.max(self.parts.clock.steady().after(wait));
                (wait, why)
            }
        };
        self.parts.store.fetch_again(fetch, why, after(self.parts.clock.now(), wait)).await
    }

    fn tell(&self, fetch: &PendingFetch, step: &Step) {
        let (result, why, at) = match step {
            Step::Fail { why } => ("failed", why, None),
            Step::Again { wait, why } | Step::Pause { wait, why } => {
                ("again", why, Some(after(self.parts.clock.now(), *wait)))
            }
        };
        self.count(fetch.source(), result);
        let (source, alert_id, next_at) = (fetch.source(), fetch.alert_id(), at.map(tracing::field::display));
        tracing::warn!(%source, delivery = %fetch.delivery_id(), %alert_id, result, why, next_at, "the alert is not fetched");
    }

    fn count(&self, source: &SourceName, result: &'static str) {
        let labels = [("source", source.as_str()), ("result", result)];
        self.parts.metrics.count(&metric::FETCHES, &labels);
    }
}

/// One alert that is asked for.
struct Asking<'a> {
    fetch: &'a PendingFetch,
    now: Timestamp,
}

impl Asking<'_> {
    fn failures(&self) -> u32 {
        self.fetch.attempts().saturating_add(1)
    }

    async fn ask(&self, graph: &Graph) -> Result<bytes::Bytes, Step> {
        let given = match graph.alert(self.fetch.alert_id()).await {
            Ok(given) => given,
            Err(error) => {
                let wait = after_failures(self.failures());
                return Err(Step::Pause { wait, why: error.to_string() });
            }
        };
        match (next(&given, self.fetch.wanted_at(), self.failures(), self.now), given) {
            (Some(step), _) => Err(step),
            (None, Given::Alert(alert)) => Ok(alert),
            (None, _) => Err(Step::Fail { why: "Graph gave no alert".to_owned() }),
        }
    }

    /// Judges what the alert was read as: it must be the one that was asked for, and no other.
    fn read(&self, mapped: Result<Mapped, MapperError>) -> Result<Brought, Step> {
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(MapperError::Map(error)) => error.into(),
            Err(busy @ (MapperError::Busy | MapperError::TooSlow)) => {
                return Err(Step::Again { wait: after_failures(1), why: busy.to_string() });
            }
        };
        let id = self.fetch.alert_id();
        match mapped.alerts.iter().find(|alert| !id.is_of(&alert.alert_id)) {
            Some(other) => Err(Step::Fail { why: format!("Graph gave another alert, {}", other.alert_id) }),
            None => Ok(Brought(mapped)),
        }
    }
}
