//! `POST /v1/actions/{id}/approve` and `/deny`: a person decides about a held action.

use actix_web::http::header::USER_AGENT;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::alert::{ActionId, State, Who};
use crate::store::{Judge, Judged, Via, Word};
use crate::telemetry::metric;

use super::auth::Caller;
use super::named::Named;
use super::problem::{Problem, ProblemKind};
use super::said::{self, Reason, reason};
use super::{Context, view};

/// As what our own command asks.
const COMMAND: &str = "quarantine-bridge/";

/// What is said to approve an action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    holds: Vec<String>,
    reason: String,
}

/// Answers 200 once nothing that was seen holds the action any more, 202 while another person must approve too.
pub(super) async fn approve(
    Caller(who): Caller,
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Approval = said::read(&request, payload, &context).await?;
    let mut holds = said.holds;
    holds.sort_unstable();
    holds.dedup();
    if holds.is_empty() {
        let detail = "holds must name the guards whose holds are approved, as the action shows them.";
        return Err(Problem::new(ProblemKind::InvalidBody, detail));
    }
    judge(&context, action, (who, via(&request)), (Word::Approve { holds }, reason(&said.reason)?)).await
}

/// Answers 200: the action is denied.
pub(super) async fn deny(
    Caller(who): Caller,
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    judge(&context, action, (who, via(&request)), (Word::Deny, said.text()?)).await
}

/// By which way a request came, as far as the client says.
fn via(request: &HttpRequest) -> Via {
    let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with(COMMAND)) { Via::Cli } else { Via::Api }
}

async fn judge(
    context: &Context,
    action: ActionId,
    (who, via): (Who, Via),
    (word, reason): (Word, String),
) -> Result<HttpResponse, Problem> {
    let judge = Judge { action, word, reason, who: who.clone(), via, now: context.clock.now() };
    let judged = context.store.judge(judge).await?;
    tracing::info!(%action, %who, result = %judged, "judgement");
    count(context, &judged);
    let mut answer = match judged {
        Judged::Resumed | Judged::Denied | Judged::Already => HttpResponse::Ok(),
        Judged::Kept => HttpResponse::Accepted(),
        refused => return Err(refusal(&refused)),
    };
    let record = context.store.action(action).await?.ok_or_else(Problem::nothing_here)?;
    Ok(answer.json(view::action(&record, context.clock.now())))
}

/// Counts the change of state that a word has brought about.
pub(super) fn count(context: &Context, judged: &Judged) {
    let state = match judged {
        Judged::Resumed => State::Resolving,
        Judged::Denied => State::Denied,
        _ => return,
    };
    context.metrics.count(&metric::STATE_CHANGES, &[("state", state.as_str())]);
}

fn refusal(judged: &Judged) -> Problem {
    let no = |detail: String| Problem::new(ProblemKind::NotApprovable, detail);
    match judged {
        Judged::OwnAction => {
            let detail = "Whoever has brought an action about, by asking for it, as its source, by a replay or by completing \
                          it, or has made a link for it, may not decide about it.";
            Problem::new(ProblemKind::Forbidden, detail)
        }
        Judged::NotHeld(state) => no(format!("It is {state}; only a held action waits for a person.")),
        Judged::NoSuchHold(guard) => no(format!("{guard:?} does not hold it. Its holds are in the action.")),
        Judged::NotApprovable(guard) => {
            no(format!("{guard} holds because something is missing that no approval can stand for."))
        }
        Judged::Missing | Judged::Resumed | Judged::Kept | Judged::Denied | Judged::Already => {
            Problem::nothing_here()
        }
    }
}
