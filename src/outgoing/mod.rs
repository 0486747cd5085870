//! The HTTP client for whatever is asked of others: time limits, no redirects, no retries, no reused connections.

mod reach;

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Certificate, Client, redirect, retry};
use url::Url;

pub use reach::{AddressRefused, Reach, check_literal, connectable, is_metadata, is_public, may_connect};

use reach::Resolver;

/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take from the first byte out to the last byte in, where nothing else is said.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// As what this program asks, where nothing else is agreed.
const USER_AGENT: &str = concat!("quarantine-bridge/", env!("CARGO_PKG_VERSION"));

/// What a client is for.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where it leads.
    pub to: &'a Url,
    /// As what it asks.
    pub user_agent: &'static str,
    /// How long a request may take from the first byte out to the last byte in.
    pub total_timeout: Duration,
    /// Whose certificates it takes.
    pub trust: Trust<'a>,
    /// Which addresses it connects to.
    pub reach: Reach<'a>,
}

/// Whose certificates a client takes.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Those of the public authorities that this machine knows; plain HTTP too, if the address says so.
    Public,
    /// The same, and nothing but HTTPS, unless it leads to this machine.
    PublicHttpsOnly,
    /// Those of these authorities, in PEM form, and no others.
    Only(&'a [u8]),
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no authority to trust.
    #[error("the file of authorities holds no certificate: it must have one or more in PEM form")]
    NoCertificate,
    /// TLS cannot be set up.
    #[error(
        "the HTTP client cannot be made; it needs public certificates, such as Debian's package ca-certificates"
    )]
    Tls(#[source] reqwest::Error),
    /// It would lead to an address that is not connected to.
    #[error(transparent)]
    Address(#[from] AddressRefused),
}

impl<'a> Outgoing<'a> {
    /// The usual client for an address.
    pub fn new(to: &'a Url) -> Self {
        Self {
            to,
            user_agent: USER_AGENT,
            total_timeout: TOTAL_TIMEOUT,
            trust: Trust::Public,
            reach: Reach::Any,
        }
    }

    /// Makes the client.
    ///
    /// A connection is used for one request only: on a reused one the server may hang up while the request is on
    /// its way, and then nobody knows whether it was received. At 25 calls a minute a handshake each costs
    /// nothing.
    pub fn client(&self) -> Result<Client, ClientError> {
        let is_here = is_loopback(self.to);
        let builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(self.total_timeout)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .pool_max_idle_per_host(0)
            .referer(false)
            .user_agent(self.user_agent);
        let builder = match self.trust {
            Trust::Public => builder,
            Trust::PublicHttpsOnly => builder.https_only(!is_here),
            Trust::Only(pem) => {
                let certificates = Certificate::from_pem_bundle(pem).map_err(ClientError::Tls)?;
                if certificates.is_empty() {
                    return Err(ClientError::NoCertificate);
                }
                builder.tls_certs_only(certificates)
            }
        };
        // What runs on this machine is never behind the proxy that leads out of it.
        let builder = if is_here { builder.no_proxy() } else { builder };
        check_literal(self.to, self.reach)?;
        let builder = match self.reach {
            Reach::Any => builder.dns_resolver(Resolver::Any),
            Reach::PublicAnd(allowed) => builder.no_proxy().dns_resolver(Resolver::PublicAnd(allowed.into())),
            Reach::Beside => builder.no_proxy(),
        };
        builder.build().map_err(ClientError::Tls)
    }
}

/// Returns the address that was not connected to, if that is why a request failed.
pub fn refused_address(error: &reqwest::Error) -> Option<&AddressRefused> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref() {
            return Some(refused);
        }
        source = cause.source();
    }
    None
}

/// Says whether nobody on the way reads what goes there: it goes by HTTPS, or stays on this machine.
pub fn is_safe_on_the_way(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
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

/// Tells an error with its causes, without the address, which says nothing new where it is told.
pub fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    why
}
