//! One fetch of an issuer's keys: over TLS, no redirects, bounded in time and size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::ingest::jwt::{Issuer, KeyAddress, KeySet, KeySetError};
use crate::outgoing::{ClientError, Outgoing, Trust, causes, is_loopback};

/// How long a request may take in all.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer read. Entra ID's key set has about 20 KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{url} did not answer: {why}; check the network, the proxy and the certificates of this machine")]
    NoAnswer { url: Url, why: String },
    #[error("{url} answered {status}; check issuer and jwks_url")]
    Status { url: Url, status: StatusCode },
    #[error("{0} answered with more than 256 KiB; check jwks_url")]
    TooLong(Url),
    #[error("{0} is no discovery document with issuer and jwks_uri: {1}; check issuer, or set jwks_url")]
    NoDiscovery(Url, String),
    #[error("{url} is of the issuer {found:?}: set issuer to that, letter by letter, if it is yours")]
    OtherIssuer { url: Url, found: String },
    #[error("{url} names {found} for its keys, which is not https; set jwks_url")]
    Insecure { url: Url, found: String },
    #[error("{0} has no keys to use: {1}; check jwks_url")]
    NoKeys(Url, KeySetError),
}

/// Makes the client for one issuer.
pub(super) fn client(to: &Url) -> Result<Client, ClientError> {
    let trust = Trust::PublicHttpsOnly;
    Outgoing { total_timeout: TOTAL_TIMEOUT, trust, ..Outgoing::new(to) }.client()
}

/// Fetches the key set of an issuer.
pub(super) async fn key_set(http: &Client, issuer: &Issuer) -> Result<KeySet, FetchError> {
    let url = match &issuer.keys {
        KeyAddress::Jwks(url) => url.clone(),
        KeyAddress::Discovery(url) => discover(http, &issuer.name, url).await?,
    };
    let json = get(http, &url).await?;
    KeySet::parse(&json).map_err(|error| FetchError::NoKeys(url, error))
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Reads from the issuer's own document where its keys are.
async fn discover(http: &Client, issuer: &str, url: &Url) -> Result<Url, FetchError> {
    let json = get(http, url).await?;
    let document: Discovery = serde_json::from_slice(&json)
        .map_err(|error| FetchError::NoDiscovery(url.clone(), error.to_string()))?;
    if document.issuer != issuer {
        return Err(FetchError::OtherIssuer { url: url.clone(), found: document.issuer });
    }
    let keys = Url::parse(&document.jwks_uri).ok();
    // Plain HTTP only from this machine to this machine.
    let is_safe = |keys: &Url| keys.scheme() == "https" || (is_loopback(url) && is_loopback(keys));
    let insecure = FetchError::Insecure { url: url.clone(), found: document.jwks_uri };
    keys.filter(is_safe).ok_or(insecure)
}

async fn get(http: &Client, url: &Url) -> Result<Bytes, FetchError> {
    let no_answer = |error: reqwest::Error| FetchError::NoAnswer { url: url.clone(), why: causes(error) };
    let request = http.get(url.clone()).header("accept", "application/json");
    let mut response = request.send().await.map_err(no_answer)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status { url: url.clone(), status: response.status() });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(FetchError::TooLong(url.clone()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
