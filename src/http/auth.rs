//! Who asks, and whether they may.

use std::future::{Ready, ready};

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use subtle::ConstantTimeEq as _;

use crate::alert::{Holder, Who};
use crate::ingest;
use crate::store::{Bound, Scope, StoredToken, TokenStanding};

use super::problem::{Problem, ProblemKind};
use super::{ApiToken, Context, body};

/// Who asks. Only where the table of routes asks for a token is there one.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Who);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(Problem::unauthorized))
    }
}

/// A caller whose token is bound to a source, so that it may ask for actions.
#[derive(Debug, Clone)]
pub(super) struct Requester {
    pub(super) who: Who,
    pub(super) bound: Bound,
    /// The token's public part.
    pub(super) token: String,
}

impl Requester {
    /// What proves to the source that the caller may ask.
    pub(super) fn proof(&self) -> ingest::ApiToken {
        ingest::ApiToken { id: self.token.clone(), source: self.bound.source.clone() }
    }
}

impl FromRequest for Requester {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let unbound = || Problem::new(ProblemKind::Forbidden, "The token is bound to no source.");
        ready(request.extensions().get::<Self>().cloned().ok_or_else(unbound))
    }
}

/// Lets a caller pass whose token has the scope, and tells the handler who it is.
pub(super) async fn admit(request: &ServiceRequest, scope: Scope) -> Result<(), Problem> {
    let context = request.app_data::<Data<Context>>().ok_or_else(Problem::unauthorized)?;
    let token = known(request.request(), context, scope).await?;
    let who = Who::Token(Holder { name: token.name, token: Some(token.id.clone()) });
    if let Some(bound) = token.bound {
        request.extensions_mut().insert(Requester { who: who.clone(), bound, token: token.id });
    }
    request.extensions_mut().insert(Caller(who));
    Ok(())
}

async fn known(request: &HttpRequest, context: &Context, scope: Scope) -> Result<StoredToken, Problem> {
    let headers = body::headers(request);
    let sent = headers.only("authorization").ok().and_then(|value| value.strip_prefix("Bearer "));
    let token = sent.and_then(ApiToken::parse).ok_or_else(Problem::unauthorized)?;
    let known = context.store.token(token.id().to_owned()).await?;
    let known = known.ok_or_else(Problem::unauthorized)?;
    let (is_right, now) =
        (bool::from(known.secret_sha256.ct_eq(&token.secret_sha256())), context.clock.now());
    if !is_right || known.standing(now) != TokenStanding::Active {
        return Err(Problem::unauthorized());
    }
    context.token_uses.note(&known.id, &context.store, now);
    if known.scopes.contains(&scope) {
        return Ok(known);
    }
    let detail = format!("The scope {scope} is needed.");
    Err(Problem::new(ProblemKind::Forbidden, detail))
}
