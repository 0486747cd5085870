//! Gives every request an id, in its answer's headers, its problems and its log lines.

use std::rc::Rc;

use actix_web::HttpMessage as _;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::alert::Traceparent;

use super::Context;
use super::admission::Left;
use super::problem::Problem;
use super::progress::{Body, Progress};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CACHE_CONTROL: HeaderName = HeaderName::from_static("cache-control");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const STRICT_TRANSPORT_SECURITY: HeaderName = HeaderName::from_static("strict-transport-security");

/// For a year a browser comes by TLS alone (RFC 6797). Other names under this one are not ours to speak for.
const ONLY_TLS: &str = "max-age=31536000";

/// Serves one request under an id of its own.
pub(crate) async fn request<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = Uuid::new_v4().to_string();
    let speaks_tls = request.app_data::<Data<Context>>().is_some_and(|context| context.speaks_tls);
    let traceparent = traceparent(&request);
    let span =
        tracing::info_span!("request", id, traceparent = traceparent.as_ref().map(Traceparent::as_str));
    let progress = request.conn_data::<Rc<Progress>>().cloned();
    let body = announced_body(&mut request);
    if let Some(progress) = &progress {
        progress.begin(body);
    }
    let response = next.call(request).instrument(span).await;
    let may_go_on = progress.is_none_or(|progress| progress.end());
    let mut response = named(response?.map_into_boxed_body(), &id);
    if !may_go_on {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    // A stranger does not learn how much a source has left.
    let is_known = response.status() != StatusCode::UNAUTHORIZED;
    let left = response.request().extensions().get::<Left>().copied().filter(|_| is_known);
    let headers = response.headers_mut();
    if let Some(left) = left {
        left.tell(headers);
    }
    // A caller of OpenC2 is answered with the id that it gave.
    if !headers.contains_key(REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(&id)
    {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    if speaks_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONLY_TLS));
    }
    Ok(response)
}

/// The caller's place in a trace of its own, for people who follow one through logs. Only what is of its form is there.
fn traceparent(request: &ServiceRequest) -> Option<Traceparent> {
    let mut values = request.headers().get_all(TRACEPARENT);
    values.next().filter(|_| values.next().is_none())?.to_str().ok()?.parse().ok()
}

/// What body the head announces; HTTP has made sure that it does so in one way only.
fn announced_body(request: &mut ServiceRequest) -> Body {
    if matches!(request.parts_mut().1, Payload::None) {
        return Body::None;
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.trim().parse().ok()).map_or_else(Body::chunked, Body::Bytes)
}

/// Writes the request's id into a problem.
fn named(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    match problem.map(|problem| problem.respond(Some(id))) {
        Some(renamed) => response.into_response(renamed),
        None => response,
    }
}
