//! The service's HTTP face: deliveries in, records out. It commits and answers; it can reach neither dispatch
//! nor Defender.

mod actions;
mod auth;
pub(crate) mod body;
mod deliveries;
mod health;
mod hooks;
pub(crate) mod problem;
mod token;
pub(crate) mod trace;
mod view;

use std::collections::HashMap;
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

pub use problem::{ProblemKind, TABLE};
pub use token::ApiToken;

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
}

/// What every request needs.
#[derive(Debug)]
struct Context {
    store: Store,
    mapper: Mapper,
    clock: Clock,
    metrics: Metrics,
    keys: Keys,
    sources: HashMap<SourceName, Source>,
    /// True once dispatch has taken up where the last run ended.
    ready: watch::Receiver<bool>,
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

/// Listens; returns where, and the server, which runs when it is awaited.
pub fn bind(options: Options, parts: Parts) -> io::Result<(SocketAddr, Server)> {
    let listener = TcpListener::bind(options.listen)?;
    let address = listener.local_addr()?;
    let sources = options.sources.into_iter().map(|source| (source.name.clone(), source)).collect();
    let Parts { store, mapper, clock, metrics, keys, ready } = parts;
    let context = web::Data::new(Context { store, mapper, clock, metrics, keys, sources, ready });
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
    Ok((address, server))
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
