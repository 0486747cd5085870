//! `/v1/blast-breaker`: how the breaker on blast radius stands, and closing it.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::store::CloseBlastBreaker;

use super::auth::Caller;
use super::problem::Problem;
use super::said::{self, Reason};
use super::{Context, view};

pub(super) async fn show(context: Data<Context>) -> Result<HttpResponse, Problem> {
    answer(&context).await
}

/// What is held stays held; what is decided from now on does not need a person any more.
pub(super) async fn close(
    Caller(who): Caller,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    let reason = said.text()?;
    let close = CloseBlastBreaker { who: who.clone(), reason: reason.clone(), now: context.clock.now() };
    let was_open = context.store.close_blast_breaker(close).await?;
    tracing::warn!(%who, reason, was_open, "the API was asked to close the breaker on blast radius");
    answer(&context).await
}

async fn answer(context: &Context) -> Result<HttpResponse, Problem> {
    let breaker = context.store.blast_breaker().await?;
    let last = breaker.last.as_ref();
    let shown = json!({
        "is_open": breaker.is_open, "since": view::time(last.map(|turn| turn.at)),
        "by": last.map(|turn| turn.who.to_string()), "reason": last.map(|turn| &turn.reason),
    });
    Ok(HttpResponse::Ok().json(shown))
}
