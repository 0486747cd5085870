//! `/v1/tokens`: the tokens of the API, and taking one away.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alert::Mode;
use crate::store::{RevokeToken, Scope, StoredToken};

use super::auth::Caller;
use super::parameters::{cursor_and_limit, cut};
use super::problem::Problem;
use super::said::{self, Reason};
use super::{Context, view};

/// Lists them, by id.
pub(super) async fn list(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Problem> {
    let (after, limit) = cursor_and_limit(request.query_string())?;
    let mut tokens = context.store.tokens(after, limit.saturating_add(1)).await?;
    let next = cut(&mut tokens, limit).map(|token| token.id.clone());
    let now = context.clock.now();
    let tokens: Vec<Value> = tokens.iter().map(|token| shown(token, now)).collect();
    Ok(HttpResponse::Ok().json(json!({"tokens": tokens, "next_cursor": next})))
}

/// Takes a token away: once this has answered, it opens nothing.
pub(super) async fn revoke(
    Caller(who): Caller,
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    let now = context.clock.now();
    let id = path.into_inner();
    let revoke = RevokeToken { id: id.clone(), reason: said.text()?, who: who.clone(), now };
    let revoked = context.store.revoke_token(revoke).await?.ok_or_else(Problem::nothing_here)?;
    tracing::warn!(token = id, name = revoked.name, %who, "a token of the API was revoked");
    Ok(HttpResponse::Ok().json(shown(&revoked, now)))
}

fn shown(token: &StoredToken, now: Timestamp) -> Value {
    json!({
        "id": token.id, "name": token.name,
        "scopes": token.scopes.iter().map(|scope| Scope::as_str(*scope)).collect::<Vec<_>>(),
        "source": token.bound.as_ref().map(|bound| bound.source.as_str()),
        "mode": token.bound.as_ref().and_then(|bound| bound.mode).map(Mode::as_str),
        "status": token.standing(now).as_str(), "created_at": view::time(Some(token.created_at)),
        "expires_at": view::time(Some(token.expires_at)), "last_used_at": view::time(token.last_used_at),
        "revoked": token.revoked.as_ref().map(|revoked| {
            json!({"at": view::time(Some(revoked.at)), "by": revoked.who.to_string(), "reason": revoked.reason})
        }),
    })
}
