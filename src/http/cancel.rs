//! `POST /v1/actions/{id}/cancel`: a person or a playbook wants an action to end.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::alert::{ActionId, State};
use crate::store::{Cancel, Cancelled};
use crate::telemetry::metric;

use super::auth::Caller;
use super::named::Named;
use super::problem::{Problem, ProblemKind};
use super::said::{self, Reason};
use super::{Context, view};

/// Answers 200 once the action is cancelled, 202 while that is wanted: Defender has the action, or may have it.
pub(super) async fn cancel(
    Caller(who): Caller,
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    let cancel = Cancel { action, reason: said.text()?, who: who.clone(), now: context.clock.now() };
    let cancelled = context.store.cancel(cancel).await?;
    tracing::info!(%action, %who, result = %cancelled, "cancellation");
    let mut answer = match cancelled {
        Cancelled::Ended => {
            context.metrics.count(&metric::STATE_CHANGES, &[("state", State::Cancelled.as_str())]);
            HttpResponse::Ok()
        }
        Cancelled::AlreadyEnded => HttpResponse::Ok(),
        Cancelled::Wanted | Cancelled::AlreadyWanted => HttpResponse::Accepted(),
        Cancelled::TooLate(state) => {
            let detail = format!("It is {state}; an action that is over cannot be cancelled.");
            return Err(Problem::new(ProblemKind::NotCancellable, detail));
        }
        Cancelled::Missing => return Err(Problem::nothing_here()),
    };
    let record = context.store.action(action).await?.ok_or_else(Problem::nothing_here)?;
    Ok(answer.json(view::action(&record, context.clock.now())))
}
