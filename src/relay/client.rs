//! The HTTP client for the bridge.

use reqwest::Client;
use url::Url;

use crate::outgoing::{self, Outgoing, Trust};

/// As what the relay asks.
const USER_AGENT: &str = concat!("quarantine-bridge-relay/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The scheme is not one of the two.
    #[error("{0} is no address of a bridge: write http:// or https://, host and path")]
    Address(Url),
    /// The client cannot be made.
    #[error("{0}, or a private authority with --ca-file")]
    Tls(#[source] outgoing::ClientError),
    /// The file of authorities cannot be used.
    #[error(transparent)]
    Authorities(outgoing::ClientError),
}

/// Makes the client. With an authority's certificates in PEM form, it trusts those and no others.
pub fn client(to: &Url, authorities: Option<&[u8]>) -> Result<Client, ClientError> {
    if !matches!(to.scheme(), "http" | "https") || to.host().is_none() {
        return Err(ClientError::Address(to.clone()));
    }
    let trust = authorities.map_or(Trust::Public, Trust::Only);
    let outgoing = Outgoing { user_agent: USER_AGENT, trust, ..Outgoing::new(to) };
    outgoing.client().map_err(if authorities.is_some() { ClientError::Authorities } else { ClientError::Tls })
}
