//! The HTTP client for Microsoft: time limits, no redirects, no retries, no reused connections.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, redirect, retry};
use url::Url;

use super::answer::Answer;

/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take from the first byte out to the last byte in.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the HTTP client cannot be made; it needs public certificates, such as Debian's package ca-certificates"
)]
pub struct ClientError(#[source] reqwest::Error);

/// Makes the client.
///
/// A connection is used for one request only: on a reused one the server may hang up while the request is on
/// its way, and then nobody knows whether it was received. At 25 calls a minute a handshake each costs
/// nothing.
pub fn http_client(base: &Url) -> Result<Client, ClientError> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .pool_max_idle_per_host(0)
        .referer(false)
        .user_agent(concat!("MdePartner-QuarantineBridge-QuarantineBridge/", env!("CARGO_PKG_VERSION")));
    // A simulator on this machine is never behind the proxy that leads to Microsoft.
    let builder = if is_loopback(base) { builder.no_proxy() } else { builder };
    builder.build().map_err(ClientError)
}

/// Says whether an address leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Why there is no answer to a request.
#[derive(Debug)]
pub enum Failure {
    /// Not one byte of the request left.
    NotSent(String),
    /// The request may have been received.
    Lost(String),
    /// An answer came, and it is longer than is taken.
    TooLong(String),
}

impl Failure {
    pub(crate) fn of(error: reqwest::Error) -> Self {
        let is_connect = error.is_connect();
        // The address may hold nothing secret, but it makes the text long and says nothing new.
        let error = error.without_url();
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        if is_connect { Self::NotSent(why) } else { Self::Lost(why) }
    }
}

impl Failure {
    /// What happened.
    pub fn why(self) -> String {
        match self {
            Self::NotSent(why) | Self::Lost(why) | Self::TooLong(why) => why,
        }
    }
}

/// Sends a request and reads its answer, whatever it says, up to a limit.
pub(crate) async fn send(request: RequestBuilder, bytes_max: usize) -> Result<Answer, Failure> {
    let response = request.send().await.map_err(Failure::of)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    Ok(Answer { status, retry_after, body: read_bounded(response, bytes_max).await? })
}

/// Reads an answer's body, up to a limit.
pub(super) async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::of)? {
        if body.len().saturating_add(chunk.len()) > bytes_max {
            let kib = bytes_max.checked_div(1024).unwrap_or_default();
            return Err(Failure::TooLong(format!("the answer is longer than {kib} KiB")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
