//! Puts the parts of the service together.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Server;
use anyhow::Context as _;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::defender::Defender;
use crate::dispatch::Dispatcher;
use crate::graph::{self, AlertFetcher, Graph};
use crate::http;
use crate::mapping::{BuiltIn, Format, Mapper};
use crate::oidc::{self, Fetcher};
use crate::store::Store;
use crate::telemetry::Metrics;

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
    /// The durable state.
    pub store: Store,
    /// The metrics.
    pub metrics: Metrics,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Opens the store, takes up where the last run ended, and listens.
pub async fn assemble(config: Config, clock: Clock) -> anyhow::Result<Service> {
    let metrics = Metrics::new();
    let store = Store::open(&config.store)?;
    let mapper = Mapper::start(MAPPER_THREADS).context("the threads for payloads cannot be started")?;
    let (ready, is_ready) = watch::channel(false);
    let defender = Defender::new(&config.defender, clock.clone(), metrics.clone())?;
    let issuers = config.http.sources.iter().filter_map(|source| source.gate.issuer().cloned());
    let (keys, key_fetcher) = oidc::keys(issuers, &clock, &metrics)?;
    let alert_fetcher = alert_fetcher(&config, &store, &mapper, (&clock, &metrics))?;
    let parts = http::Parts {
        store: store.clone(),
        mapper,
        clock: clock.clone(),
        metrics: metrics.clone(),
        keys,
        ready: is_ready,
    };
    let listen = config.http.listen;
    let (address, server) =
        http::bind(config.http, parts).with_context(|| format!("cannot listen on {listen}"))?;
    let dispatcher =
        Dispatcher::start(store.clone(), defender, config.dispatch, clock, metrics.clone()).await?;
    ready.send_replace(true);
    Ok(Service { address, server, dispatcher, key_fetcher, alert_fetcher, store, metrics })
}

/// How alerts are read that Microsoft Graph gives.
const GRAPH_FORMAT: &str = "graph-alert-v2";

fn alert_fetcher(
    config: &Config,
    store: &Store,
    mapper: &Mapper,
    (clock, metrics): (&Clock, &Metrics),
) -> anyhow::Result<AlertFetcher> {
    let built_in = BuiltIn::named(GRAPH_FORMAT).context("the format is built in")?;
    let client = |options| Graph::new(options, clock.clone(), metrics.clone());
    let policies = config.dispatch.policies.iter();
    Ok(AlertFetcher::new(graph::Parts {
        store: store.clone(),
        graph: config.graph.as_ref().map(client).transpose()?,
        mapper: mapper.clone(),
        format: Arc::new(Format::load(built_in.name, built_in.code)?),
        max_ages: policies.map(|(name, policy)| (name.clone(), policy.max_age)).collect(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    }))
}
