//! `/v1/tokens`: the tokens of the API, and taking one away.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::store::{RevokeToken, Scope, StoredToken};

use super::actions::{read_json, reason};
use super::auth::Caller;
use super::parameters::{PAGE, limit};
use super::problem::{Problem, ProblemKind};
use super::{Context, body, view};

/// What is said to take a token away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    reason: String,
}

/// Lists them, by id.
pub(super) async fn list(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Problem> {
    let (after, limit) = filter(request.query_string())?;
    // One more than asked tells whether there is a next page.
    let mut tokens = context.store.tokens(after, limit.saturating_add(1)).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = tokens.len() > most;
    tokens.truncate(most);
    let next = tokens.last().filter(|_| has_more).map(|token| token.id.clone());
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
    let said: Revocation = read_json(&body::read(&request, payload, &context.long_bodies).await?)?;
    let now = context.clock.now();
    let id = path.into_inner();
    let revoke = RevokeToken { id: id.clone(), reason: reason(&said.reason)?, who: who.clone(), now };
    let revoked = context.store.revoke_token(revoke).await?.ok_or_else(Problem::nothing_here)?;
    tracing::warn!(token = id, name = revoked.name, %who, "a token of the API was revoked");
    Ok(HttpResponse::Ok().json(shown(&revoked, now)))
}

fn shown(token: &StoredToken, now: Timestamp) -> Value {
    json!({
        "id": token.id, "name": token.name,
        "scopes": token.scopes.iter().map(|scope| Scope::as_str(*scope)).collect::<Vec<_>>(),
        "status": token.standing(now).as_str(), "created_at": view::time(Some(token.created_at)),
        "expires_at": view::time(Some(token.expires_at)), "last_used_at": view::time(token.last_used_at),
        "revoked": token.revoked.as_ref().map(|revoked| {
            json!({"at": view::time(Some(revoked.at)), "by": revoked.who.to_string(), "reason": revoked.reason})
        }),
    })
}

fn filter(query: &str) -> Result<(Option<String>, u32), Problem> {
    let (mut after, mut page) = (None, PAGE);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "cursor" => after = Some(value.into_owned()),
            "limit" => page = limit(&value)?,
            _ => {
                let detail = format!("There is no parameter {name:?}; there are cursor and limit.");
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    Ok((after, page))
}
