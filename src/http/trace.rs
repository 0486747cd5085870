//! Gives every request an id, in its answer's headers, its problems and its log lines.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use tracing::Instrument as _;
use uuid::Uuid;

use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CACHE_CONTROL: HeaderName = HeaderName::from_static("cache-control");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// Serves one request under an id of its own.
pub(crate) async fn request<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = Uuid::new_v4().to_string();
    let span = tracing::info_span!("request", id);
    let response = next.call(request).instrument(span).await?.map_into_boxed_body();
    let mut response = named(response, &id);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Writes the request's id into a problem.
fn named(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    match problem.map(|problem| problem.respond(Some(id))) {
        Some(renamed) => response.into_response(renamed),
        None => response,
    }
}
