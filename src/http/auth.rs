//! Who asks, and whether they may.

use actix_web::HttpRequest;
use subtle::ConstantTimeEq as _;

use crate::alert::Who;
use crate::store::Scope;

use super::problem::{Problem, ProblemKind};
use super::{ApiToken, Context, body};

/// Lets a caller pass whose token has the scope; returns who it is.
pub(super) async fn require(request: &HttpRequest, context: &Context, scope: Scope) -> Result<Who, Problem> {
    let headers = body::headers(request);
    let sent = headers.only("authorization").ok().and_then(|value| value.strip_prefix("Bearer "));
    let token = sent.and_then(ApiToken::parse).ok_or_else(Problem::unauthorized)?;
    let known = context.store.token(token.id().to_owned()).await?;
    let known = known.ok_or_else(Problem::unauthorized)?;
    let is_right = bool::from(known.secret_sha256.ct_eq(&token.secret_sha256()));
    if !is_right || context.clock.now() >= known.expires_at {
        return Err(Problem::unauthorized());
    }
    if known.scopes.contains(&scope) {
        return Ok(Who::Token(known.name));
    }
    let detail = format!("The scope {scope} is needed.");
    Err(Problem::new(ProblemKind::Forbidden, detail))
}
