//! The HTTP client for the bridge: time limits, no redirects, no retries, no reused connections.

use std::time::Duration;

use reqwest::{Certificate, Client, redirect, retry};
use url::{Host, Url};

/// How long connecting may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a try may take from the first byte out to the last byte in.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The scheme is not one of the two.
    #[error("{0} is no address of a bridge: write http:// or https://, host and path")]
    Address(Url),
    /// The file holds no certificate.
    #[error("the file of authorities holds no certificate: it must have one or more in PEM form")]
    NoCertificate,
    /// TLS cannot be set up.
    #[error(
        "the HTTP client cannot be made; it needs public certificates, such as Debian's package ca-certificates, or a \
         private authority with --ca-file"
    )]
    Tls(#[source] reqwest::Error),
}

/// Makes the client. With an authority's certificates in PEM form, it trusts those and no others.
pub fn client(to: &Url, authorities: Option<&[u8]>) -> Result<Client, ClientError> {
    if !matches!(to.scheme(), "http" | "https") || to.host().is_none() {
        return Err(ClientError::Address(to.clone()));
    }
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .pool_max_idle_per_host(0)
        .referer(false)
        .user_agent(concat!("quarantine-bridge-relay/", env!("CARGO_PKG_VERSION")));
    let builder = match authorities {
        Some(pem) => {
            let certificates = Certificate::from_pem_bundle(pem).map_err(ClientError::Tls)?;
            if certificates.is_empty() {
                return Err(ClientError::NoCertificate);
            }
            builder.tls_certs_only(certificates)
        }
        None => builder,
    };
    // A bridge on this machine is never behind a proxy.
    let builder = if is_loopback(to) { builder.no_proxy() } else { builder };
    builder.build().map_err(ClientError::Tls)
}

/// Says whether an address leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
