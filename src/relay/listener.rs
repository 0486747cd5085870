//! Takes deliveries from tools on this machine: on disk first, then the answer.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use crate::clock::Clock;
use crate::http::body::LongBodies;
use crate::http::problem::{self, Problem, ProblemKind};
use crate::http::{body, trace};
use crate::spool::{Delivery, Intake, Spool, SpoolError, SpoolId};

use super::RequiredHeader;
use super::gate::admit;

/// How long a client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections may be open at once; with the limit of a body, this bounds the memory used.
const CONNECTIONS_MAX: usize = 256;

/// How long deliveries that are under way may take when the relay stops.
const SHUTDOWN_SECS: u64 = 10;

/// Where a relay listens, and to whom.
#[derive(Debug)]
pub struct Options {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A header that senders must have.
    pub required: Option<RequiredHeader>,
}

/// Where deliveries go.
#[derive(Debug)]
pub struct Parts {
    /// The spool.
    pub spool: Spool,
    /// Puts deliveries into it.
    pub intake: Intake,
    /// Wakes the forwarder.
    pub arrivals: mpsc::Sender<SpoolId>,
    /// The time.
    pub clock: Clock,
}

/// Why a relay cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is open to the network.
    #[error(
        "{0} is no loopback address: a relay signs whatever it is sent, so it listens on 127.0.0.1 or [::1] only; run one on \
         each machine that has a sender"
    )]
    NotLoopback(SocketAddr),
    /// The system refused.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        why: io::Error,
    },
}

/// What every request needs.
#[derive(Debug)]
struct Context {
    required: Option<RequiredHeader>,
    spool: Spool,
    /// One delivery is written after another: so the bounds hold, and the order is that of the ids.
    intake: Arc<Mutex<Intake>>,
    arrivals: mpsc::Sender<SpoolId>,
    clock: Clock,
    long_bodies: LongBodies,
}

/// Listens; returns where, and the server, which runs when it is awaited.
pub fn listen(options: Options, parts: Parts) -> Result<(SocketAddr, Server), ListenError> {
    if !options.listen.ip().is_loopback() {
        return Err(ListenError::NotLoopback(options.listen));
    }
    let failed = |why| ListenError::Bind { address: options.listen, why };
    let listener = TcpListener::bind(options.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let Parts { spool, intake, arrivals, clock } = parts;
    let intake = Arc::new(Mutex::new(intake));
    let long_bodies = LongBodies::default();
    let context =
        Data::new(Context { required: options.required, spool, intake, arrivals, clock, long_bodies });
    let app = move || {
        App::new()
            .app_data(context.clone())
            .wrap(from_fn(trace::request))
            .service(resource("/", web::post().to(receive), "POST"))
            .service(resource("/livez", web::get().to(live), "GET"))
            .service(resource("/readyz", web::get().to(ready), "GET"))
            .default_service(web::to(problem::not_found))
    };
    let server = HttpServer::new(app)
        .client_request_timeout(HEADERS_TIMEOUT)
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .shutdown_timeout(SHUTDOWN_SECS)
        .disable_signals()
        .listen(listener)
        .map_err(failed)?
        .run();
    Ok((address, server))
}

fn resource(path: &'static str, route: actix_web::Route, method: &'static str) -> actix_web::Resource {
    let otherwise =
        web::to(move || async move { Err::<HttpResponse, _>(Problem::method_not_allowed(method)) });
    web::resource(path).route(route).default_service(otherwise)
}

/// Keeps a delivery; only then is it answered.
///
/// Its headers are neither kept nor passed on: a tool whose headers never change would send every delivery
/// under the same id.
async fn receive(
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    admit(&request, context.required.as_ref())?;
    let body = body::read(&request, payload, &context.long_bodies).await?;
    if body.is_empty() {
        return Err(Problem::new(ProblemKind::InvalidJson, "The body is empty."));
    }
    let delivery = keep(&context, body).await?;
    let answer =
        json!({"spooled": true, "id": delivery.id.to_string(), "webhook_id": delivery.signed_id.as_str()});
    Ok(HttpResponse::Accepted().json(answer))
}

/// Writes on a thread that may wait for the disk. It goes on when the client hangs up.
async fn keep(context: &Context, body: Bytes) -> Result<Delivery, Problem> {
    let (intake, arrivals, now) =
        (Arc::clone(&context.intake), context.arrivals.clone(), context.clock.now());
    let kept = web::block(move || {
        let kept = intake.blocking_lock().put(None, body, now);
        // If the channel is full, the forwarder has enough to do, and finds this one in the folder.
        let is_announced = kept.as_ref().is_ok_and(|delivery| arrivals.try_send(delivery.id).is_ok());
        tracing::debug!(is_announced, "written");
        kept
    });
    let kept = kept.await.or(Err(Problem::new(ProblemKind::NotReady, "The relay is stopping.")))?;
    kept.map_err(|error| unavailable(&error)).inspect(|delivery| {
        tracing::info!(delivery = %delivery.id, bytes = delivery.body.len(), "a delivery is in the spool");
    })
}

/// The cause is for the log, not for the caller.
fn unavailable(error: &SpoolError) -> Problem {
    tracing::error!(%error, "a delivery could not be kept");
    let detail = match error {
        SpoolError::Full { .. } => "The spool is full. Send it again later.",
        _ => "Nothing was kept. Send it again later.",
    };
    Problem::new(ProblemKind::StoreUnavailable, detail)
}

/// The process answers.
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"live": true}))
}

/// Deliveries can be kept: there is room, and the folder can be written. It does not depend on the bridge.
async fn ready(context: Data<Context>) -> Result<HttpResponse, Problem> {
    let (intake, spool, now) = (Arc::clone(&context.intake), context.spool.clone(), context.clock.now());
    let is_ready =
        web::block(move || intake.blocking_lock().make_room(1, now).is_ok() && spool.is_writable());
    if is_ready.await.unwrap_or(false) {
        return Ok(HttpResponse::Ok().json(json!({"ready": true})));
    }
    Err(Problem::new(ProblemKind::NotReady, "The spool is full or cannot be written."))
}
