//! Who asks, and whether they may: by a token of ours, or by one of the issuer that is configured.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::alert::{Holder, Who};
use crate::ingest;
use crate::ingest::jwt::{JwtError, Proven};
use crate::store::{Bound, Scope, StoreError, StoredToken, TokenStanding};
use crate::telemetry::metric;

use super::failures::Door;
use super::principals::Ambiguous;
use super::problem::{Problem, ProblemKind};
use super::{ApiToken, Context, Principals, body, client};

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

/// What a caller has shown: looked at again while it listens.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// A token of ours, by its public part.
    Token(String),
    /// A token of the issuer, whose keys and roles stood so in the configuration.
    Issued { by: Arc<Principals>, until: Timestamp },
}

impl Shown {
    /// Says whether it is still good.
    pub(super) async fn is_good(&self, context: &Context) -> Result<bool, StoreError> {
        let now = context.clock.now();
        match self {
            Self::Token(id) => {
                let token = context.store.token(id.clone()).await?;
                Ok(token.is_some_and(|token| token.standing(now) == TokenStanding::Active))
            }
            Self::Issued { by, until } => {
                Ok(now < *until && context.principals.borrow().as_ref() == Some(by))
            }
        }
    }
}

impl FromRequest for Shown {
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
    /// The token's public part, or the principal's id.
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
        ready(request.extensions().get::<Self>().cloned().ok_or_else(unbound))
    }
}

/// Whom a request comes from, and what is allowed there.
struct Admitted {
    who: Who,
    shown: Shown,
    bound: Option<Bound>,
    /// The token's public part, or the principal's id.
    id: String,
}

/// Lets a caller pass whose token has the scope, and tells the handler who it is.
pub(super) async fn admit(request: &ServiceRequest, scope: Scope) -> Result<(), Problem> {
    let context = request.app_data::<Data<Context>>().ok_or_else(Problem::unauthorized)?;
    let headers = body::headers(request.request());
    let sent = headers.only("authorization").ok().and_then(|value| value.strip_prefix("Bearer "));
    let admitted = match sent.and_then(ApiToken::parse) {
        Some(token) => by_token(&token, request.request(), context, scope).await?,
        None => by_issuer(request.request(), context, scope).await?,
    };
    let Admitted { who, shown, bound, id } = admitted;
    if let Some(bound) = bound {
        request.extensions_mut().insert(Requester { who: who.clone(), bound, token: id });
    }
    request.extensions_mut().insert(shown);
    request.extensions_mut().insert(Caller(who));
    Ok(())
}

async fn by_token(
    token: &ApiToken,
    request: &HttpRequest,
    context: &Context,
    scope: Scope,
) -> Result<Admitted, Problem> {
    let (known, now) = (context.store.token(token.id().to_owned()).await?, context.clock.now());
    let refuse = |refusal: Refusal| {
        tell(request, context, refusal.reason(), &refusal);
        Problem::unauthorized()
    };
    let known = known.ok_or(Refusal::Unknown).map_err(refuse)?;
    if !bool::from(known.secret_sha256.ct_eq(&token.secret_sha256())) {
        return Err(refuse(Refusal::WrongSecret));
    }
    match known.standing(now) {
        TokenStanding::Active => {}
        TokenStanding::Expired => return Err(refuse(Refusal::Expired(known.name))),
        TokenStanding::Revoked => return Err(refuse(Refusal::Revoked(known.name))),
    }
    context.token_uses.note(&known.id, &context.store, now);
    if !known.scopes.contains(&scope) {
        return Err(forbidden(scope));
    }
    let StoredToken { id, name, bound, .. } = known;
    let who = Who::Token(Holder { name, token: Some(id.clone()) });
    Ok(Admitted { who, shown: Shown::Token(id.clone()), bound, id })
}

/// Why a token of ours opens nothing. The caller is not told.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no such token")]
    Unknown,
    #[error("its secret is not that of the token with this id")]
    WrongSecret,
    #[error("the token {0:?} has ended: create another one")]
    Expired(String),
    #[error("the token {0:?} was revoked")]
    Revoked(String),
}

impl Refusal {
    /// The word used in metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::WrongSecret => "wrong_secret",
            Self::Expired(_) => "expired",
            Self::Revoked(_) => "revoked",
        }
    }
}

async fn by_issuer(request: &HttpRequest, context: &Context, scope: Scope) -> Result<Admitted, Problem> {
    let headers = body::headers(request);
    let principals = context.principals.borrow().clone();
    let principals =
        principals.filter(|_| headers.contains("authorization")).ok_or_else(Problem::unauthorized)?;
    let now = context.clock.now();
    let proven = principals.prove(&headers, &context.keys, now).await.map_err(|error| {
        tell(request, context, "keys_unavailable", &error);
        Problem::new(ProblemKind::IssuerUnavailable, "Nothing was done. Ask again.")
    })?;
    let Proven { principal, roles, until } = proven.map_err(|error: JwtError| {
        tell(request, context, error.reason(), &error);
        Problem::unauthorized()
    })?;
    if !principals.allow(&roles, scope) {
        return Err(forbidden(scope));
    }
    // What is limited to a source is not done without limit because two are named.
    let is_limited = matches!(scope, Scope::ActionsWrite | Scope::ActionsRetry);
    let bound = match principals.bound(&roles) {
        Err(Ambiguous) if is_limited => return Err(unbound()),
        bound => bound.ok().flatten(),
    };
    let id = principal.id().to_string();
    let shown = Shown::Issued { by: principals, until };
    Ok(Admitted { who: Who::Principal(principal), shown, bound, id })
}

fn unbound() -> Problem {
    Problem::new(ProblemKind::Forbidden, "The token is bound to no source, or to more than one.")
}

fn forbidden(scope: Scope) -> Problem {
    Problem::new(ProblemKind::Forbidden, format!("The scope {scope} is needed."))
}

/// Counts a token that opened nothing, and tells the log why. Strangers cannot fill it: an address is told of as often as it may
/// fail at a source.
fn tell(request: &HttpRequest, context: &Context, reason: &'static str, error: &dyn std::error::Error) {
    context.metrics.count(&metric::CALLER_FAILURES, &[("reason", reason)]);
    let now = context.clock.now();
    let peer = client::peer(request, &body::headers(request), &context.proxies);
    if context.admission.check_failures(&Door::Principals, &peer, now).is_ok() {
        context.admission.record_failure(&Door::Principals, &peer, now);
        tracing::warn!(reason, %error, "a token opened nothing at the API");
    }
}
