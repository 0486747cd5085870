//! Reads the raw body of a delivery, within a limit and before a deadline.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time;

use crate::ingest::{Headers, Peer, RawDelivery};

use super::problem::{Problem, ProblemKind};

/// The longest body taken. Senders of webhooks are advised to stay below 20 kB.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// How long the whole body may take; the framework has no such limit.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Reads a request as it came over the wire, without decompressing anything.
pub(crate) async fn read(request: &HttpRequest, payload: Payload) -> Result<RawDelivery, Problem> {
    let encoding = request.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "A compressed body is not taken.";
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|text| text.parse().ok()).is_some_and(|length: u64| length > limit()) {
        return Err(too_large());
    }
    let Ok(body) = time::timeout(BODY_DEADLINE, collect(payload)).await else {
        let detail = "The whole body must come within 10 seconds.";
        return Err(Problem::new(ProblemKind::RequestTimeout, detail));
    };
    let address = request.peer_addr().map(|address| address.ip());
    let peer = Peer { address, certificate: None };
    Ok(RawDelivery { headers: headers(request), body: body?, peer, path_token: None })
}

/// Returns a request's headers, all of them.
pub(super) fn headers(request: &HttpRequest) -> Headers {
    request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

async fn collect(mut payload: Payload) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let Ok(chunk) = chunk else {
            let detail = "The body broke off.";
            return Err(Problem::new(ProblemKind::RequestTimeout, detail));
        };
        if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn limit() -> u64 {
    u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX)
}

fn too_large() -> Problem {
    Problem::new(ProblemKind::TooLarge, "A body may have 256 KiB.")
}
