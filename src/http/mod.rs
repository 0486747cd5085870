//! The service's HTTP face: deliveries in, records out. It commits and answers; it can reach neither dispatch
//! nor Defender.

mod actions;
mod admission;
mod approvals;
mod approve_link;
mod asked;
mod audit;
mod auth;
mod blast_breaker;
pub(crate) mod body;
mod bucket;
mod budget;
mod callbacks;
mod cancel;
mod certificate;
mod client;
mod connection;
mod deliveries;
mod document;
mod estimates;
mod events;
mod failures;
mod health;
mod hooks;
mod idempotency;
mod key_uses;
mod kill_switch;
mod link;
mod links;
mod listener;
mod named;
mod openc2;
mod page;
mod parameters;
mod places;
mod principals;
pub(crate) mod problem;
mod progress;
mod requests;
mod retry;
mod routes;
mod said;
mod source_health;
mod sources;
mod tls;
mod token;
mod token_uses;
mod tokens;
pub(crate) mod trace;
mod undo;
mod view;
mod waiting;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_service::IntoServiceFactory as _;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

use crate::alert::SourceName;
use crate::budget::Snapshot;
use crate::clock::Clock;
use crate::ingest::Gate;
use crate::mapping::{Format, Mapper};
use crate::oidc::Keys;
use crate::public_url::PublicUrl;
use crate::store::{AcceptedAction, Store};
use crate::telemetry::Metrics;
use crate::undo::Portal;

pub use admission::{Limits, Quota};
pub use bucket::{Bucket, Rate};
pub use client::{ForwardedHeader, Proxies};
pub use failures::{Door as FailureDoor, Failures};
pub use link::LinkKey;
pub use principals::{Principals, Role};
pub use problem::{ProblemKind, TABLE};
pub use routes::{Access, table};
pub use sources::Sources;
pub use tls::{Identity, Tls, TlsError};
pub use token::ApiToken;

use admission::Admission;
use body::LongBodies;
use estimates::Estimates;
use idempotency::Running;
use key_uses::KeyUses;
use listener::Door;
use places::Places;
use source_health::SourceHealth;
use token_uses::TokenUses;
use waiting::Waiters;

/// How many connections one client address may have open if the configuration does not say.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_500;

/// Where the service listens and whom it listens to.
#[derive(Debug)]
pub struct Options {
    /// The address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The sources.
    pub sources: Vec<Source>,
    /// How much is let in.
    pub limits: Limits,
    /// TLS; without it, plain HTTP is spoken.
    pub tls: Option<Tls>,
    /// The proxies that are believed about their clients.
    pub proxies: Proxies,
    /// How many connections one client address may have open.
    pub connections_per_address: usize,
    /// Where people see Defender.
    pub portal: Portal,
    /// Where others reach the service, if it was told.
    pub public_url: Option<PublicUrl>,
    /// The key that makes one-time links, if there is one.
    pub link_key: Option<LinkKey>,
    /// Whose tokens are taken at the API besides our own.
    pub principals: Option<Principals>,
    /// The tenant whose devices are reached, as commands of OpenC2 may name it.
    pub tenant_id: String,
}

impl Options {
    /// Listens for these sources, with all else as it is by default.
    pub fn new(listen: SocketAddr, sources: Vec<Source>) -> Self {
        Self {
            listen,
            sources,
            limits: Limits::default(),
            tls: None,
            proxies: Proxies::default(),
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            portal: Portal::default(),
            public_url: None,
            link_key: None,
            principals: None,
            tenant_id: String::new(),
        }
    }
}

/// A sender: how it proves itself and what it sends.
#[derive(Debug)]
pub struct Source {
    /// Its name, the last part of its address.
    pub name: SourceName,
    /// How it proves itself.
    pub gate: Gate,
    /// How its payloads are read.
    pub format: Arc<Format>,
    /// How much it may deliver.
    pub quota: Quota,
}

/// What every request needs.
#[derive(Debug)]
struct Context {
    store: Store,
    mapper: Mapper,
    clock: Clock,
    metrics: Metrics,
    keys: Keys,
    /// Swapped when the configuration is read again.
    sources: watch::Receiver<Arc<Sources>>,
    /// Swapped too.
    principals: watch::Receiver<Option<Arc<Principals>>>,
    admission: Admission,
    key_uses: KeyUses,
    token_uses: TokenUses,
    source_health: SourceHealth,
    running: Running,
    waiters: Waiters,
    proxies: Proxies,
    long_bodies: LongBodies,
    estimates: Estimates,
    portal: Portal,
    public_url: Option<PublicUrl>,
    link_key: Option<LinkKey>,
    tenant_id: String,
    /// Whether the listener itself has TLS, and nothing else.
    speaks_tls: bool,
    /// Places for listeners to events.
    listeners: Arc<Semaphore>,
    /// True once the service stops: streams end, and nobody waits any more.
    stopping: watch::Receiver<bool>,
    /// True once dispatch has taken up where the last run ended.
    ready: watch::Receiver<bool>,
}

impl Context {
    /// Finds a source as it is configured at this moment.
    fn source(&self, name: &SourceName) -> Option<Arc<Source>> {
        self.sources.borrow().get(name)
    }

    /// Returns the address of one of our paths for others: the whole one, if it was told where they reach us.
    fn url(&self, path: &str) -> String {
        self.public_url.as_ref().map_or_else(|| path.to_owned(), |public| public.to(path))
    }

    /// Returns when an action goes out that a delivery of the source brought, as far as is known now.
    fn estimate(&self, source: &SourceName, action: &AcceptedAction) -> Option<Timestamp> {
        action.is_new.then(|| self.estimates.of_accepted(source, action.severity)).flatten()
    }
}

/// What the server needs from the rest of the service.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The durable state.
    pub store: Store,
    /// The threads that read payloads.
    pub mapper: Mapper,
    /// The time.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Metrics,
    /// The keys of the issuers of senders' and callers' tokens.
    pub keys: Keys,
    /// True once dispatch has taken up where the last run ended.
    pub ready: watch::Receiver<bool>,
    /// What dispatch shows of its budgets and its queue.
    pub budget: watch::Receiver<Arc<Snapshot>>,
}

/// A server that listens.
pub struct Bound {
    /// Where.
    pub address: SocketAddr,
    /// It runs when it is awaited.
    pub server: Server,
    /// Takes other sources while it runs. Requests under way end with those they began with.
    pub sources: watch::Sender<Arc<Sources>>,
    /// Takes other roles, or another issuer.
    pub principals: watch::Sender<Option<Arc<Principals>>>,
    /// Ends streams and waits, before the server is told to stop: it waits for what is under way.
    pub stopping: watch::Sender<bool>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Listens.
pub fn bind(options: Options, parts: Parts) -> io::Result<Bound> {
    let listener = TcpListener::bind(options.listen)?;
    let address = listener.local_addr()?;
    let Options {
        sources,
        limits,
        tls,
        proxies,
        connections_per_address,
        portal,
        public_url,
        link_key,
        principals,
        tenant_id,
        ..
    } = options;
    let places = Places::new(connections_per_address, proxies.networks.clone());
    let speaks_tls = tls.is_some();
    let door = Door { tls, places, metrics: parts.metrics.clone() };
    let (watch_sources, watched) = watch::channel(Arc::new(Sources::new(sources, limits)));
    let (watch_principals, principals) = watch::channel(principals.map(Arc::new));
    let (stopping, told) = watch::channel(false);
    let Parts { store, mapper, clock, metrics, keys, ready, budget } = parts;
    let context = web::Data::new(Context {
        estimates: Estimates::new(budget, clock.clone()),
        store,
        mapper,
        clock,
        metrics,
        keys,
        sources: watched,
        principals,
        admission: Admission::new(limits.failures),
        key_uses: KeyUses::default(),
        token_uses: TokenUses::default(),
        source_health: SourceHealth::default(),
        running: Running::default(),
        waiters: Waiters::default(),
        proxies,
        long_bodies: LongBodies::default(),
        portal,
        public_url,
        link_key,
        tenant_id,
        speaks_tls,
        listeners: Arc::new(Semaphore::new(events::LISTENERS_MAX)),
        stopping: told,
        ready,
    });
    let app = move || {
        let app = App::new()
            .app_data(context.clone())
            .wrap(from_fn(trace::request))
            .configure(routes::serve)
            .default_service(web::to(problem::not_found));
        app.into_factory()
    };
    let server = listener::serve(listener, door, app)?;
    Ok(Bound { address, server, sources: watch_sources, principals: watch_principals, stopping })
}
