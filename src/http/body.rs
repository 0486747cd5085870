//! Reads the raw body of a request, within a limit and before a deadline.

use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time;

use crate::ingest::Headers;

use super::problem::{Problem, ProblemKind};
use super::progress::Progress;

/// The longest body taken. Senders of webhooks are advised to stay below 20 kB.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// How long the whole body may take; the framework has no such limit.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The first bytes of a body that need no share of what all bodies may have. Nearly every webhook is shorter, so
/// strangers who send long bodies slowly are not in its way.
const SHORT_BODY_BYTES: usize = 32 * 1024;

/// What all bodies that are being read may have beyond their first bytes, together.
const LONG_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct LongBodies(Semaphore);

impl Default for LongBodies {
    fn default() -> Self {
        Self(Semaphore::new(LONG_BODIES_BYTES_MAX))
    }
}

/// Reads a body as it comes over the wire, without decompressing anything.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: Payload,
    long_bodies: &LongBodies,
) -> Result<Bytes, Problem> {
    let encoding = request.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "A compressed body is not taken.";
        return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|text| text.parse().ok()).is_some_and(|length: u64| length > limit()) {
        return Err(too_large());
    }
    let Ok(body) = time::timeout(BODY_DEADLINE, collect(payload, long_bodies)).await else {
        let detail = "The whole body must come within 10 seconds.";
        return Err(Problem::new(ProblemKind::RequestTimeout, detail));
    };
    let body = body?;
    if let Some(progress) = request.conn_data::<Rc<Progress>>() {
        progress.body_is_read();
    }
    Ok(body)
}

/// Returns a request's headers, all of them.
pub(super) fn headers(request: &HttpRequest) -> Headers {
    request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

async fn collect(mut payload: Payload, long_bodies: &LongBodies) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    let mut share: Option<SemaphorePermit<'_>> = None;
    while let Some(chunk) = payload.next().await {
        let Ok(chunk) = chunk else {
            // The framework does not say which.
            let detail = "The body broke off, or its chunks are not those of HTTP.";
            return Err(Problem::new(ProblemKind::RequestTimeout, detail));
        };
        if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
        if body.len() > SHORT_BODY_BYTES {
            let more = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            let Ok(more) = long_bodies.0.try_acquire_many(more) else {
                let detail = "Too many long bodies come in at once. Nothing was stored. Send it again.";
                return Err(Problem::new(ProblemKind::Busy, detail));
            };
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
        }
    }
    Ok(body.freeze())
}

fn limit() -> u64 {
    u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX)
}

fn too_large() -> Problem {
    Problem::new(ProblemKind::TooLarge, "A body may have 256 KiB.")
}
