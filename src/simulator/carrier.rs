//! Carries requests to the simulator over HTTP.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use tokio::time;

use super::Shared;
use super::call::{Answered, Request};
use super::faults::FaultKind;

/// Answers whatever no other route takes.
pub(super) async fn carry(request: HttpRequest, body: Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let request = taken(&request, body);
    let fault = shared.with(|state| state.strike(&request));
    if let Some(FaultKind::Delay { ms }) = fault {
        time::sleep(Duration::from_millis(ms)).await;
    }
    respond(shared.with(|state| state.answer(&request, fault.as_ref())))
}

fn taken(request: &HttpRequest, body: Bytes) -> Request {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.map(ToOwned::to_owned)
    };
    let connection = request.connection_info();
    Request {
        method: request.method().to_string(),
        base: format!("{}://{}", connection.scheme(), connection.host()),
        path: request.uri().to_string(),
        authorization: header("authorization"),
        metadata: header("metadata"),
        identity_header: header("x-identity-header"),
        is_forwarded: header("x-forwarded-for").is_some() || header("via").is_some(),
        body,
    }
}

fn respond(answered: Answered) -> HttpResponse {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    for header in answered.headers {
        response.insert_header(header);
    }
    if !answered.hangs_up {
        return response.body(answered.body);
    }
    let parts = [Ok(answered.body), Err(std::io::Error::other("the simulator hangs up"))];
    response.streaming(stream::iter(
        parts.into_iter().filter(|part| !matches!(part, Ok(body) if body.is_empty())),
    ))
}
