//! Puts the parts of the service together.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Server;
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::alert::SourceName;
use crate::audit::{Configuration, ConfigurationAct, Digest, SourcePolicy};
use crate::budget::Snapshot;
use crate::callbacks::{self, Callbacks, Destinations};
use crate::checkpoints::Checkpoints;
use crate::clock::Clock;
use crate::config::Config;
use crate::defender::Defender;
use crate::dispatch::{self, Dispatcher};
use crate::graph::{self, AlertFetcher, Graph, MaxAges};
use crate::http::{self, Bound, Principals, Sources};
use crate::ingest::jwt::Issuer;
use crate::kill_switch::SwitchWatch;
use crate::mapping::{BuiltIn, Format, Mapper};
use crate::microsoft::Identity;
use crate::oidc::{self, Fetcher, Keys};
use crate::policy::Policy;
use crate::retention::Pruner;
use crate::store::{Retention, Store, StoreError};
use crate::telemetry::{Metrics, metric};
use crate::traces::Traces;

/// How many threads read payloads.
const MAPPER_THREADS: usize = 2;

/// A service whose parts are ready to run.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    /// The HTTP server; it runs when it is awaited.
    pub server: Server,
    /// The loop that sends.
    pub dispatcher: Dispatcher,
    /// The loop that fetches the keys of issuers of tokens.
    pub key_fetcher: Fetcher,
    /// The loop that fetches alerts from Microsoft Graph.
    pub alert_fetcher: AlertFetcher,
    /// The loop that deletes what is over and old.
    pub pruner: Pruner,
    /// The loop that has the audit signed.
    pub checkpoints: Checkpoints,
    /// The loop that looks for the signal file of the kill switch.
    pub switch_watch: SwitchWatch,
    /// The loop that tells callbacks.
    pub callbacks: Callbacks,
    /// The loop that tells a collector of traces.
    pub traces: Traces,
    /// Ends streams of events, before the server is told to stop: it waits for what is under way.
    pub stopping: watch::Sender<bool>,
    /// The durable state.
    pub store: Store,
    /// The metrics.
    pub metrics: Metrics,
    /// What of it can be changed while it runs.
    pub live: Live,
}

/// The parts of a running service that take another configuration.
#[derive(Debug)]
pub struct Live {
    store: Store,
    keys: Keys,
    sources: watch::Sender<Arc<Sources>>,
    principals: watch::Sender<Option<Arc<Principals>>>,
    dispatch: watch::Sender<dispatch::Options>,
    max_ages: watch::Sender<MaxAges>,
    retention: watch::Sender<Retention>,
    callbacks: watch::Sender<Arc<Destinations>>,
    microsoft: Microsoft,
}

/// Those who ask for tokens of Entra ID.
#[derive(Debug)]
struct Microsoft {
    defender: Defender,
    graph: Option<Graph>,
}

impl Microsoft {
    fn new(config: &Config, clock: &Clock, metrics: &Metrics) -> anyhow::Result<Self> {
        let graph = |options| Graph::new(options, clock.clone(), metrics.clone());
        Ok(Self {
            defender: Defender::new(&config.defender, clock.clone(), metrics.clone())?,
            graph: config.graph.as_ref().map(graph).transpose()?,
        })
    }

    fn take_over(&self, identity: &Identity) {
        self.defender.take_over(identity);
        self.graph.iter().for_each(|graph| graph.take_over(identity));
    }
}

impl Live {
    /// Records in the audit that a configuration was read.
    pub async fn record(&self, read: Configuration, now: Timestamp) -> Result<(), StoreError> {
        self.store.record_configuration(read, now).await
    }

    /// Swaps all that can change at run time. What is under way ends with what it began with.
    ///
    /// Every part that can take another configuration has a line here. What can fail comes first: on an error all stays as
    /// it was.
    pub fn apply(&self, config: Config) -> anyhow::Result<()> {
        let callbacks = Destinations::new(config.callbacks)?;
        self.keys.replace(issuers(&config.http))?;
        self.microsoft.take_over(&config.defender.identity);
        self.max_ages.send_replace(ages(&config.dispatch));
        self.retention.send_replace(config.retention);
        self.callbacks.send_replace(Arc::new(callbacks));
        // Policies before sources: whatever a new source delivers finds its policy.
        self.dispatch.send_replace(config.dispatch);
        self.sources.send_replace(Arc::new(Sources::new(config.http.sources, config.http.limits)));
        self.principals.send_replace(config.http.principals.map(Arc::new));
        Ok(())
    }
}

/// Returns a configuration as the audit has it.
pub(super) fn as_recorded(config: &Config, act: ConfigurationAct) -> Configuration {
    let of_source = |(name, policy): (&SourceName, &Policy)| {
        let policy =
            SourcePolicy { mode: policy.mode().to_string(), policy: Digest::from_bytes(policy.version()) };
        (name.to_string(), policy)
    };
    Configuration {
        act,
        bridge: env!("CARGO_PKG_VERSION").to_owned(),
        file: config.file,
        sources: config.dispatch.policies.iter().map(of_source).collect(),
        problem: None,
    }
}

/// Returns a configuration that is not taken over as the audit has it.
pub(super) fn as_refused(file: Digest, problem: String) -> Configuration {
    Configuration {
        act: ConfigurationAct::Refused,
        bridge: env!("CARGO_PKG_VERSION").to_owned(),
        file,
        sources: BTreeMap::new(),
        problem: Some(problem),
    }
}

/// The issuers of senders' and callers' tokens.
fn issuers(options: &http::Options) -> impl Iterator<Item = Issuer> {
    let of_sources = options.sources.iter().filter_map(|source| source.gate.issuer().cloned());
    of_sources.chain(options.principals.iter().map(|principals| principals.issuer().clone()))
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Opens the store, takes up where the last run ended, and listens.
pub async fn assemble(config: Config, clock: Clock) -> anyhow::Result<Service> {
    let metrics = Metrics::new();
    let (store, switch_watch) = open(&config, &clock, &metrics).await?;
    let mapper = Mapper::start(MAPPER_THREADS).context("the threads for payloads cannot be started")?;
    let (ready, is_ready) = watch::channel(false);
    let microsoft = Microsoft::new(&config, &clock, &metrics)?;
    let (keys, key_fetcher) = oidc::keys(issuers(&config.http), &clock, &metrics)?;
    let (max_ages, watched_ages) = watch::channel(ages(&config.dispatch));
    let graph = microsoft.graph.clone();
    let alert_fetcher = alert_fetcher(graph, (&store, &mapper), watched_ages, (&clock, &metrics))?;
    let (shown, budget) = watch::channel(Arc::new(Snapshot::empty(clock.steady())));
    let (retention, kept) = watch::channel(config.retention);
    let pruner = Pruner::new(store.clone(), clock.clone(), metrics.clone(), kept);
    let (callbacks, told) = watch::channel(Arc::new(Destinations::new(config.callbacks)?));
    let teller = teller(&config.http, told, (&store, &clock, &metrics)).await?;
    let traces = Traces::new(store.clone(), metrics.clone(), config.traces.as_ref())?;
    let checkpoints = Checkpoints::new(store.clone(), clock.clone(), metrics.clone(), config.checkpoints);
    let parts = http::Parts {
        store: store.clone(),
        mapper,
        clock: clock.clone(),
        metrics: metrics.clone(),
        keys: keys.clone(),
        ready: is_ready,
        budget,
    };
    let Bound { address, server, sources, principals, stopping } = bind(config.http, parts)?;
    let (dispatch, changes) = watch::channel(config.dispatch);
    let defender = microsoft.defender.clone();
    let dispatcher = Dispatcher::start(store.clone(), defender, changes, clock, metrics.clone()).await?;
    let dispatcher = dispatcher.showing(shown).await?;
    ready.send_replace(true);
    let live = Live {
        store: store.clone(),
        keys,
        sources,
        principals,
        dispatch,
        max_ages,
        retention,
        callbacks,
        microsoft,
    };
    Ok(Service {
        address,
        server,
        dispatcher,
        key_fetcher,
        alert_fetcher,
        pruner,
        checkpoints,
        switch_watch,
        callbacks: teller,
        traces,
        stopping,
        store,
        metrics,
        live,
    })
}

/// Opens the store, and looks for the signal file of the kill switch before anything can be sent.
async fn open(config: &Config, clock: &Clock, metrics: &Metrics) -> anyhow::Result<(Store, SwitchWatch)> {
    let store = Store::open(&config.store)?;
    // Before anything is written by the new time.
    heed_clock(&store, clock, metrics).await?;
    store.record_configuration(as_recorded(config, ConfigurationAct::Loaded), clock.now()).await?;
    let signal_file = config.signal_file.clone();
    let mut switch_watch = SwitchWatch::new(store.clone(), clock.clone(), metrics.clone(), signal_file);
    switch_watch.look().await?;
    Ok((store, switch_watch))
}

/// Tells of a clock that was set back while the service was down, and lets nothing wait longer because of it.
async fn heed_clock(store: &Store, clock: &Clock, metrics: &Metrics) -> anyhow::Result<()> {
    let by = store.set_back_since_last_run(clock.now(), clock.steady()).await?;
    if let Some(by) = by {
        tracing::warn!(
            seconds = by.as_secs(),
            "the clock is behind the last entry of the audit: it was set back, or was ahead before; what waits looks younger than it is"
        );
    }
    metrics.set(&metric::CLOCK_SET_BACK, &[], by.map_or(0.0, |by| by.as_secs_f64()));
    Ok(())
}

fn bind(options: http::Options, parts: http::Parts) -> anyhow::Result<Bound> {
    let listen = options.listen;
    http::bind(options, parts).with_context(|| format!("cannot listen on {listen}"))
}

/// The loop that tells callbacks.
async fn teller(
    http: &http::Options,
    told: watch::Receiver<Arc<Destinations>>,
    (store, clock, metrics): (&Store, &Clock, &Metrics),
) -> anyhow::Result<Callbacks> {
    let parts = callbacks::Parts {
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        public_url: http.public_url.clone(),
    };
    Ok(Callbacks::start(parts, told).await?)
}

/// How long each source's alerts may be fetched for.
fn ages(dispatch: &dispatch::Options) -> MaxAges {
    dispatch.policies.iter().map(|(name, policy)| (name.clone(), policy.max_age)).collect()
}

/// How alerts are read that Microsoft Graph gives.
const GRAPH_FORMAT: &str = "graph-alert-v2";

fn alert_fetcher(
    graph: Option<Graph>,
    (store, mapper): (&Store, &Mapper),
    max_ages: watch::Receiver<MaxAges>,
    (clock, metrics): (&Clock, &Metrics),
) -> anyhow::Result<AlertFetcher> {
    let built_in = BuiltIn::named(GRAPH_FORMAT).context("the format is built in")?;
    Ok(AlertFetcher::new(graph::Parts {
        store: store.clone(),
        graph,
        mapper: mapper.clone(),
        format: Arc::new(Format::load(built_in.name, built_in.code)?),
        max_ages,
        clock: clock.clone(),
        metrics: metrics.clone(),
    }))
}
