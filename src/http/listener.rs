//! Lets connections in: counts them, speaks TLS, and hands them to HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request};
use actix_server::Server;
use actix_service::{ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use tokio::net::TcpStream;
use tokio::time;
use tracing::field;

use crate::telemetry::{Metrics, metric};

use super::connection::{Connection, Stream};
use super::places::{Full, Places};
use super::tls::Tls;

/// How many threads serve.
const WORKERS: usize = 2;

/// How many connections a worker may have open at once: 3,000 in all.
///
/// A stranger's connection holds some 110 KiB at most: 40 KiB of a head, or of a body before it needs a share, 16 KiB
/// of answers that are not taken, and the rest for TLS. That bounds what strangers can make us use to 330 MiB, and to
/// 64 MiB more for long bodies. A worker that is full takes no more until a limit ends a connection that stalls.
const CONNECTIONS_PER_WORKER: usize = 1_500;

/// How much of the answers to one client is written before it must take some.
const ANSWER_BUFFER_BYTES: usize = 8 * 1024;

/// How long a client may take to greet in TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send the first head of a connection.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be idle.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long what is left of a refused body may be read, so that its sender sees the answer.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long deliveries that are under way may take when the service stops.
const SHUTDOWN_SECS: u64 = 10;

/// Where connections come in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Without it, plain HTTP is spoken.
    pub(super) tls: Option<Tls>,
    /// How many connections an address may have.
    pub(super) places: Places,
    pub(super) metrics: Metrics,
}

impl Door {
    /// Lets one connection in, if there is a place for it and it greets in time.
    async fn enter(self, stream: TcpStream) -> Result<(Connection, Protocol, Option<SocketAddr>), ()> {
        let address = stream.peer_addr().ok();
        let place = match address.map(|address| self.places.take(address.ip())) {
            Some(Ok(place)) => place,
            None => None,
            Some(Err(Full)) => return self.refuse("address"),
        };
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let greeting = Box::pin(tls.acceptor().accept(stream));
                match time::timeout(HANDSHAKE_TIMEOUT, greeting).await {
                    Ok(Ok(mut stream)) => {
                        stream.get_mut().1.set_buffer_limit(Some(ANSWER_BUFFER_BYTES));
                        Stream::Tls(Box::new(stream))
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(address = address.map(field::display), %error, "a client did not get through TLS");
                        return self.refuse("tls");
                    }
                    Err(_) => return self.refuse("tls_timeout"),
                }
            }
        };
        Ok((Connection::new(stream, place), Protocol::Http1, address))
    }

    /// Closes a connection without a word.
    fn refuse<T>(&self, reason: &'static str) -> Result<T, ()> {
        self.metrics.count(&metric::CONNECTIONS_REFUSED, &[("reason", reason)]);
        Err(())
    }
}

/// Serves an application to whoever comes in; runs when it is awaited.
pub(super) fn serve<F, A, B>(listener: TcpListener, door: Door, app: F) -> io::Result<Server>
where
    F: Fn() -> A + Send + Clone + 'static,
    A: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        >,
    A: 'static,
    A::Future: 'static,
    A::Service: 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(WORKERS)
        .max_concurrent_connections(CONNECTIONS_PER_WORKER)
        .shutdown_timeout(SHUTDOWN_SECS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let builder = builder.listen("http", listener, move || {
        let app = app().map_err(|error: Error| error.error_response());
        let (door, metrics, stopping) = (door.clone(), door.metrics.clone(), stopping.clone());
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEADERS_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .h1_write_buffer_size(ANSWER_BUFFER_BYTES)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|connection: &Connection, data| connection.tell(data))
            .finish(map_config(app, |()| AppConfig::default()))
            .map_err(move |error| ended_early(&error, &metrics));
        fn_service(move |stream| door.clone().enter(stream)).and_then(http)
    })?;
    Ok(builder.run())
}

/// Tells of a connection that did not end as it should; the framework's own line, an error whatever it was, is not logged.
fn ended_early(error: &DispatchError, metrics: &Metrics) {
    if matches!(error, DispatchError::Parse(_)) {
        metrics.count(&metric::CONNECTIONS_REFUSED, &[("reason", "not_http")]);
    }
    if is_ours(error) { tell_of_failure(error) } else { tell_of_client(error) }
}

fn tell_of_failure(error: &DispatchError) {
    tracing::error!(%error, "an answer could not be given");
}

fn tell_of_client(error: &DispatchError) {
    tracing::debug!(%error, "a connection ended early");
}

/// Says whether it was the service that failed, and not a client that went away, was slow or spoke no HTTP.
fn is_ours(error: &DispatchError) -> bool {
    matches!(
        error,
        DispatchError::Service(_)
            | DispatchError::Body(_)
            | DispatchError::Upgrade
            | DispatchError::InternalError
    )
}
