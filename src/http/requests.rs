//! `POST /v1/actions` and `/v1/actions/batch`: a playbook asks for actions. `GET /v1/actions/{id}/status`: how one of them
//! stands, for callers that poll until it is not 202 any more.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::alert::{ActionId, AlertId, State};
use crate::ingest::{RawDelivery, Verified};
use crate::store::{ActionRecord, Once, Request, Requests, StoreError, Taken, Wanted};
use crate::telemetry::metric;

use super::admission::{self, PutOff};
use super::auth::Requester;
use super::idempotency;
use super::named::Named;
use super::problem::{Problem, ProblemKind};
use super::waiting::{self, Applied, is_pending};
use super::{Context, Source, actions, asked, body, client, hooks};

/// How long to wait before asking again how an action stands, in seconds.
pub(super) const ASK_AGAIN_SECS: u32 = 5;

/// What became of each action that was asked for, in their order.
type Outcomes = Vec<Result<(AlertId, Taken), Problem>>;

/// Reads a body: each action that it asks for, or what is wrong with it.
type Read = fn(&Requester, &[u8]) -> Result<Vec<Result<Wanted, Problem>>, Problem>;

/// Takes one action.
pub(super) async fn one(
    requester: Requester,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let mut outcomes = take(&context, &requester, &request, payload, asked::one).await?;
    let (alert_id, taken) = outcomes.pop().unwrap_or_else(|| Err(Problem::nothing_here()))?;
    let Taken::Stands { id, state, is_known } = taken else {
        return Err(gone());
    };
    let applied = waiting::wait(&context, &request, id, state).await;
    let mut shown = receipt(&context, &alert_id, id, state, is_known);
    if is_pending(state) && applied.is_none() {
        return Ok(begun(&context, id, state, applied).json(shown));
    }
    // Whoever has waited is told how it stands now, and whoever has nothing to wait for what became of it.
    let record = context.store.action(id).await?.ok_or_else(gone)?;
    let state = record.action.state;
    if let Value::Object(members) = &mut shown {
        members.insert("state".to_owned(), json!(state.as_str()));
        if !is_pending(state) {
            members.insert("action".to_owned(), actions::shown(&context, &record).await?);
        }
    }
    Ok(begun(&context, id, state, applied).json(shown))
}

/// Takes several actions: each has its own outcome.
pub(super) async fn several(
    requester: Requester,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let outcomes = take(&context, &requester, &request, payload, asked::several).await?;
    let is_taken =
        |outcome: &Result<(AlertId, Taken), Problem>| matches!(outcome, Ok((_, Taken::Stands { .. })));
    let any = outcomes.iter().any(is_taken);
    let items: Vec<Value> = outcomes.into_iter().map(|outcome| item(&context, outcome)).collect();
    if any {
        return Ok(HttpResponse::Accepted().json(json!({"actions": items})));
    }
    let problem =
        Problem::new(ProblemKind::Unmappable, "None of the actions can be taken. Nothing was stored.");
    Err(problem.with("actions", json!(items)))
}

/// Answers 202 while the action is on its way, 200 when it is over or waits for a person.
pub(super) async fn status(
    requester: Requester,
    request: HttpRequest,
    Named(id): Named<ActionId>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    // Whoever may ask for actions of one source learns nothing of another's.
    let is_own = |record: &ActionRecord| record.action.source == requester.bound.source;
    let record = context.store.action(id).await?.filter(is_own);
    let mut record = record.ok_or_else(Problem::nothing_here)?;
    let applied = waiting::wait(&context, &request, id, record.action.state).await;
    if applied.is_some() {
        record = context.store.action(id).await?.ok_or_else(Problem::nothing_here)?;
    }
    let shown = actions::shown(&context, &record).await?;
    Ok(begun(&context, id, record.action.state, applied).json(shown))
}

/// Takes what a caller asks for: the same way as a delivery, but that its token proves it.
async fn take(
    context: &Context,
    requester: &Requester,
    request: &HttpRequest,
    payload: Payload,
    read: Read,
) -> Result<Outcomes, Problem> {
    let source = source(context, requester)?;
    let once = idempotency::key(request)?.map(|key| Once::new(&requester.bound, &requester.who, &key));
    let body = body::read(request, payload, &context.long_bodies).await?;
    let delivery = delivery(context, requester, request, body);
    let _begun = context.running.begin(once.as_ref())?;
    let work = take_in(context, requester, (&source, &delivery), once, read);
    hooks::promptly(context, &source, request, work).await
}

/// Finds the source whose actions the caller may ask for.
pub(super) fn source(context: &Context, requester: &Requester) -> Result<Arc<Source>, Problem> {
    let name = &requester.bound.source;
    let source = context.source(name).filter(|source| source.gate.takes_api_tokens());
    source.ok_or_else(|| {
        Problem::new(ProblemKind::SourceUnknown, format!("No source {name} asks for actions by the API."))
    })
}

/// Takes the request for a delivery of the source, which the caller's token proves.
pub(super) fn delivery(
    context: &Context,
    requester: &Requester,
    request: &HttpRequest,
    body: Bytes,
) -> RawDelivery {
    let delivery = client::delivery(request, body, &context.proxies);
    RawDelivery { api_token: Some(requester.proof()), ..delivery }
}

/// Lets a request in as a delivery of the source is let in, if there is room for it.
pub(super) async fn let_in(
    context: &Context,
    source: &Source,
    delivery: &RawDelivery,
) -> Result<Verified, Problem> {
    let now = context.clock.now();
    let verified = hooks::believe(context, source, delivery, now).await?;
    admission::admit(context, source, now).await?;
    hooks::check_content_type(delivery)?;
    Ok(verified)
}

/// Puts what is asked for on disk; returns what became of each action.
pub(super) async fn keep(
    context: &Context,
    requester: &Requester,
    source: &Source,
    request: Request,
) -> Result<Vec<Taken>, Problem> {
    let requests = context.store.request(request).await;
    told(context, requester, source, requests)
}

async fn take_in(
    context: &Context,
    requester: &Requester,
    (source, delivery): (&Arc<Source>, &RawDelivery),
    once: Option<Once>,
    read: Read,
) -> Result<Outcomes, Problem> {
    let verified = let_in(context, source, delivery).await?;
    let items = read(requester, verified.body())?;
    let actions: Vec<Wanted> = items.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut taken = Vec::new();
    if !actions.is_empty() {
        let (asked, now) = (*verified.body_sha256(), context.clock.now());
        let request = Request { delivery: verified, actions, once, asked, now };
        taken = keep(context, requester, source, request).await?;
    }
    let mut taken = taken.into_iter();
    let outcome = |item: Result<Wanted, Problem>| {
        let alert_id = item?.alert.alert_id;
        Ok((alert_id, taken.next().unwrap_or(Taken::Gone)))
    };
    Ok(items.into_iter().map(outcome).collect())
}

/// Counts and logs what became of a request; returns what became of each of its actions.
fn told(
    context: &Context,
    requester: &Requester,
    source: &Source,
    requests: Result<Requests, StoreError>,
) -> Result<Vec<Taken>, Problem> {
    let is_new = |taken: &Taken| matches!(taken, Taken::Stands { is_known: false, .. });
    let result = match &requests {
        Ok(Requests::Taken(taken)) if taken.iter().any(is_new) => "new",
        Ok(Requests::Taken(_) | Requests::Replayed(_)) => "duplicate",
        Ok(Requests::OtherBefore) => "conflict",
        Err(_) => "unavailable",
    };
    let name = source.name.as_str();
    context.metrics.count(&metric::DELIVERIES, &[("source", name), ("result", result)]);
    tracing::info!(source = name, who = %requester.who, result, "a request for actions");
    if requests == Err(StoreError::Busy) {
        return Err(PutOff::Store.tell(context, source));
    }
    match requests? {
        Requests::Taken(taken) | Requests::Replayed(taken) => Ok(taken),
        Requests::OtherBefore => {
            let detail = "Something else was asked for under this Idempotency-Key. Nothing was stored.";
            Err(Problem::new(ProblemKind::KeyReused, detail))
        }
    }
}

/// Begins an answer about an action: 202 while it is on its way, and where and when to ask again.
fn begun(context: &Context, id: ActionId, state: State, applied: Option<Applied>) -> HttpResponseBuilder {
    let mut answer =
        HttpResponse::build(if is_pending(state) { StatusCode::ACCEPTED } else { StatusCode::OK });
    answer.insert_header(("Location", context.url(&format!("/v1/actions/{id}/status"))));
    if is_pending(state) {
        answer.insert_header(("Retry-After", ASK_AGAIN_SECS.to_string()));
    }
    Applied::tell(applied, &mut answer);
    answer
}

/// What is answered about an action that was asked for; what is kept under an idempotency key is all that it is made of.
fn receipt(context: &Context, alert_id: &AlertId, id: ActionId, state: State, is_known: bool) -> Value {
    json!({
        "id": id.to_string(), "alert_id": alert_id.as_str(), "state": state.as_str(), "duplicate": is_known,
        "url": context.url(&format!("/v1/actions/{id}")),
        "status_url": context.url(&format!("/v1/actions/{id}/status")),
    })
}

fn item(context: &Context, outcome: Result<(AlertId, Taken), Problem>) -> Value {
    let refused =
        |problem: Problem| json!({"status": problem.status(), "action": null, "problem": problem.body(None)});
    match outcome {
        Ok((alert_id, Taken::Stands { id, state, is_known })) => {
            let status = if is_pending(state) { 202 } else { 200 };
            let action = receipt(context, &alert_id, id, state, is_known);
            json!({"status": status, "action": action, "problem": null})
        }
        Ok((_, Taken::Gone)) => refused(gone()),
        Err(problem) => refused(problem),
    }
}

/// That retention has deleted the action.
pub(super) fn gone() -> Problem {
    Problem::new(
        ProblemKind::Gone,
        "The alert had an action for this device and file, and retention has deleted it.",
    )
}
