//! The service's HTTP face: deliveries in, records out. It commits and answers; it can reach neither dispatch
//! nor Defender.

mod actions;
mod admission;
mod auth;
pub(crate) mod body;
mod bucket;
mod deliveries;
mod failures;
mod health;
mod hooks;
mod key_uses;
pub(crate) mod problem;
mod sources;
mod token;
pub(crate) mod trace;
mod view;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::watch;

use crate::alert::SourceName;
use crate::clock::Clock;
use crate::ingest::Gate;
use crate::mapping::{Format, Mapper};
use crate::oidc::Keys;
use crate::store::Store;
use crate::telemetry::Metrics;

pub use admission::{Limits, Quota};
pub use bucket::{Bucket, Rate};
pub use failures::Failures;
pub use problem::{ProblemKind, TABLE};
pub use sources::Sources;
pub use token::ApiToken;

use admission::Admission;
use key_uses::KeyUses;
use problem::Problem;

/// How long a client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);

/// How many threads serve.
const WORKERS: usize = 2;

/// How many connections a worker may have open at once. Bodies are read before their senders are proven, so this bounds the
/// memory that strangers can make us use: 128 MiB in all.
const CONNECTIONS_PER_WORKER: usize = 256;

/// How long deliveries that are under way may take when the service stops.
const SHUTDOWN_SECS: u64 = 10;

/// Where the service listens and whom it listens to.
#[derive(Debug)]
pub struct Options {
    /// The address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The sources.
    pub sources: Vec<Source>,
    /// How much is let in.
    pub limits: Limits,
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
    admission: Admission,
    key_uses: KeyUses,
    /// True once dispatch has taken up where the last run ended.
    ready: watch::Receiver<bool>,
}

impl Context {
    /// Finds a source as it is configured at this moment.
    fn source(&self, name: &SourceName) -> Option<Arc<Source>> {
        self.sources.borrow().get(name)
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
    /// The keys of the issuers of the sources' tokens.
    pub keys: Keys,
    /// True once dispatch has taken up where the last run ended.
    pub ready: watch::Receiver<bool>,
}

/// A server that listens.
pub struct Bound {
    /// Where.
    pub address: SocketAddr,
    /// It runs when it is awaited.
    pub server: Server,
    /// Takes other sources while it runs. Requests under way end with those they began with.
    pub sources: watch::Sender<Arc<Sources>>,
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
    let admission = Admission::new(options.limits.failures);
    let (sources, watched) = watch::channel(Arc::new(Sources::new(options.sources, options.limits)));
    let Parts { store, mapper, clock, metrics, keys, ready } = parts;
    let context = web::Data::new(Context {
        store,
        mapper,
        clock,
        metrics,
        keys,
        sources: watched,
        admission,
        key_uses: KeyUses::default(),
        ready,
    });
    let app = move || {
        App::new()
            .app_data(context.clone())
            .wrap(from_fn(trace::request))
            .configure(routes)
            .default_service(web::to(problem::not_found))
    };
    let server = HttpServer::new(app)
        .client_request_timeout(HEADERS_TIMEOUT)
        .workers(WORKERS)
        .max_connections(CONNECTIONS_PER_WORKER)
        .shutdown_timeout(SHUTDOWN_SECS)
        .disable_signals()
        .listen(listener)?
        .run();
    Ok(Bound { address, server, sources })
}

/// One route: what it is called with and who answers.
struct Route {
    method: &'static str,
    path: &'static str,
    handler: fn() -> actix_web::Route,
}

/// Every route. `openapi.yaml` describes each, and a test holds the two together.
const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1/hooks/{source}", handler: || web::post().to(hooks::receive) },
    Route {
        method: "POST",
        path: "/v1/hooks/{source}/{token}",
        handler: || web::post().to(hooks::receive_by_path),
    },
    Route { method: "GET", path: "/v1/actions", handler: || web::get().to(actions::list) },
    Route { method: "GET", path: "/v1/actions/{id}", handler: || web::get().to(actions::one) },
    Route {
        method: "POST",
        path: "/v1/actions/{id}/complete",
        handler: || web::post().to(actions::complete),
    },
    Route {
        method: "POST",
        path: "/v1/deliveries/{id}/replay",
        handler: || web::post().to(deliveries::replay),
    },
    Route { method: "GET", path: "/v1/deliveries/{id}", handler: || web::get().to(deliveries::one) },
    Route { method: "GET", path: "/livez", handler: || web::get().to(health::live) },
    Route { method: "GET", path: "/readyz", handler: || web::get().to(health::ready) },
    Route { method: "GET", path: "/metrics", handler: || web::get().to(health::metrics) },
];

/// Method and path of every route.
pub fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.method, route.path))
}

fn routes(config: &mut web::ServiceConfig) {
    for route in ROUTES {
        let otherwise =
            web::to(|| async { Err::<HttpResponse, _>(Problem::method_not_allowed(route.method)) });
        config.service(web::resource(route.path).route((route.handler)()).default_service(otherwise));
    }
}
