//! `POST /v1/actions/{id}/retry`: a person or a playbook wants an action tried again that has come to nothing.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::alert::ActionId;
use crate::store::{Retried, Retry};

use super::auth::{Caller, Requester};
use super::named::Named;
use super::problem::{Problem, ProblemKind};
use super::said::{self, Reason};
use super::{Context, view};

/// Answers with the new action: 202, or 200 if the action was tried again before.
pub(super) async fn retry(
    (Caller(who), requester): (Caller, Option<Requester>),
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    // A token that may ask for actions of one source only, and in some mode at most, may do no more by trying again.
    let bound = requester.map(|requester| requester.bound);
    let retry = Retry {
        action,
        reason: said.text()?,
        who: who.clone(),
        mode_max: bound.as_ref().and_then(|bound| bound.mode),
        source: bound.map(|bound| bound.source),
        now: context.clock.now(),
    };
    let retried = context.store.retry(retry).await?;
    tracing::info!(%action, %who, result = %retried, "retry");
    let (id, mut answer) = match retried {
        Retried::New(id) => (id, HttpResponse::Accepted()),
        Retried::Already(id) => (id, HttpResponse::Ok()),
        Retried::Not(why) => return Err(Problem::new(ProblemKind::NotRetryable, why)),
        Retried::Missing => return Err(Problem::nothing_here()),
    };
    let record = context.store.action(id).await?.ok_or_else(Problem::nothing_here)?;
    answer.insert_header(("Location", context.url(&format!("/v1/actions/{id}"))));
    Ok(answer.json(view::action(&record, context.clock.now())))
}
