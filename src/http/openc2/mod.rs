//! `POST /v1/openc2` and `/.well-known/openc2`: `contain file` of OpenC2's profile of endpoint response, and `query features`.
//!
//! A command is another spelling of `POST /v1/actions`: what is asked for goes the same way, from the token on.

mod command;
mod response;
mod words;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::alert::{ActionId, Api, State};
use crate::ingest::{RawDelivery, Verified};
use crate::store::{Once, Request, Taken};

use super::auth::Requester;
use super::problem::Problem;
use super::waiting::{self, is_pending};
use super::{Context, Source, asked, body, hooks, requests};

use command::{Command, Contain, Feature, Reading, Wish};
use response::{Envelope, Refused, Response};

/// What came of a command, before anybody waits.
enum Obeyed {
    /// A query is answered.
    Answered(Response),
    /// The action is on disk.
    Taken { id: ActionId, state: State, is_known: bool, wish: Wish },
}

/// Obeys a command. Whatever is wrong is told in OpenC2's words too, but for who may ask at all.
pub(super) async fn receive(
    requester: Requester,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> HttpResponse {
    let (envelope, response) = match body::read(&request, payload, &context.long_bodies).await {
        Ok(body) => {
            let envelope = Envelope::of(&request, &body);
            let response = answer(&context, &requester, &request, body, &envelope).await;
            (envelope, response)
        }
        Err(problem) => (Envelope::of(&request, &[]), Err(problem.into())),
    };
    match response {
        Ok(Some(response)) => envelope.write(&response, context.clock.now()),
        Ok(None) => HttpResponse::NoContent().finish(),
        Err(refused) => envelope.write(&refused.into(), context.clock.now()),
    }
}

/// Returns the response, if one is wanted.
async fn answer(
    context: &Context,
    requester: &Requester,
    request: &HttpRequest,
    body: Bytes,
    envelope: &Envelope,
) -> Result<Option<Response>, Refused> {
    let source = requests::source(context, requester)?;
    let delivery = requests::delivery(context, requester, request, body);
    let work = obey(context, requester, (&source, &delivery), envelope);
    match hooks::promptly(context, &source, request, work).await?? {
        Obeyed::Answered(response) => Ok(Some(response)),
        Obeyed::Taken { wish: Wish::None, .. } => Ok(None),
        Obeyed::Taken { id, state, is_known, wish } => {
            let mut response = Response::acknowledged();
            if wish != Wish::Ack {
                let applied = waiting::wait(context, request, id, state).await;
                let record = context.store.action(id).await.map_err(Problem::from)?.ok_or_else(gone)?;
                response = Response::of(&record);
                response.applied = applied.map(waiting::Applied::seconds);
                response.results = Some(told(context, id, record.action.state, is_known));
                // A person may take hours, and whoever asks again is told as well.
                response.retry_after = is_pending(record.action.state).then_some(requests::ASK_AGAIN_SECS);
            }
            response.location = Some(context.url(&format!("/v1/actions/{id}/status")));
            Ok(Some(response))
        }
    }
}

/// Does what a command says. The outer failure is the way's, the inner one the command's.
async fn obey(
    context: &Context,
    requester: &Requester,
    (source, delivery): (&Source, &RawDelivery),
    envelope: &Envelope,
) -> Result<Result<Obeyed, Refused>, Problem> {
    let verified = requests::let_in(context, source, delivery).await?;
    let reading = Reading {
        request_id: envelope.request_id(),
        tenant_id: &context.tenant_id,
        now: context.clock.now().to_string(),
    };
    match reading.read(verified.body()) {
        Ok(Command::Query(features)) => {
            let results: Map<String, Value> =
                features.into_iter().map(|feature| known(context, source, feature)).collect();
            let results = (!results.is_empty()).then_some(Value::Object(results));
            Ok(Ok(Obeyed::Answered(Response { status: 200, results, ..Response::default() })))
        }
        Ok(Command::Contain(contain)) => take(context, requester, source, verified, *contain).await.map(Ok),
        Err(refused) => Ok(Err(refused)),
    }
}

/// Asks for the action, under the command's id as the key.
async fn take(
    context: &Context,
    requester: &Requester,
    source: &Source,
    verified: Verified,
    contain: Contain,
) -> Result<Obeyed, Problem> {
    let Contain { id, digest, asked, wish } = contain;
    // No Idempotency-Key has a line break.
    let once = Once::new(&requester.bound, &requester.who, &format!("openc2\n{id}"));
    let _begun = context.running.begin(Some(&once))?;
    let request = Request {
        delivery: verified,
        actions: vec![asked::wanted(requester, asked)?],
        once: Some(once),
        asked: digest,
        now: context.clock.now(),
    };
    match requests::keep(context, requester, source, request).await?.pop() {
        Some(Taken::Stands { id, state, is_known }) => Ok(Obeyed::Taken { id, state, is_known, wish }),
        Some(Taken::Gone) | None => Err(requests::gone()),
    }
}

fn gone() -> Refused {
    requests::gone().into()
}

/// A feature, and what is known here of it.
fn known(context: &Context, source: &Source, feature: Feature) -> (String, Value) {
    let (name, value) = match feature {
        Feature::Versions => ("versions", json!(["1.0"])),
        Feature::Profiles => ("profiles", json!(["er"])),
        Feature::Pairs => ("pairs", json!({"query": ["features"], "contain": ["file"]})),
        Feature::RateLimit => ("rate_limit", json!(rate_limit(context, source))),
    };
    (name.to_owned(), value)
}

/// How many commands a minute: as many as Defender takes calls, and no more than the source may deliver.
fn rate_limit(context: &Context, source: &Source) -> u32 {
    let snapshot = context.estimates.snapshot();
    let limits = snapshot.budget(Api::Quarantine).map(|budget| budget.limits().per_minute);
    source.quota.rate.each_minute().min(limits.unwrap_or(u32::MAX))
}

/// What OpenC2 has no words for.
fn told(context: &Context, id: ActionId, state: State, is_known: bool) -> Value {
    json!({"x-qbridge": {
        "id": id.to_string(), "state": state.as_str(), "duplicate": is_known,
        "url": context.url(&format!("/v1/actions/{id}")),
        "status_url": context.url(&format!("/v1/actions/{id}/status")),
    }})
}
