//! The simulated Defender API: its routes, machine actions, and what each call goes through.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time;

use super::Shared;
use super::faults::{FaultKind, Place};
use super::lookups;
use super::paging::page;
use super::quarantine::stop_and_quarantine;
use super::refusals::{No, Reply};
use super::state::{CallRecord, State};

const MACHINE_ACTION_FILTERS: [&str; 6] =
    ["id", "status", "machineId", "type", "requestor", "creationDateTimeUtc"];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for base in ["/api", "/api/v1.0"] {
        config
            .route(&format!("{base}/machines/{{id}}/StopAndQuarantineFile"), web::post().to(quarantine))
            .route(&format!("{base}/machineactions"), web::get().to(list_machine_actions))
            .route(&format!("{base}/machineactions/{{id}}"), web::get().to(machine_action))
            .route(&format!("{base}/machineactions/{{id}}/cancel"), web::post().to(cancel))
            .route(&format!("{base}/machines"), web::get().to(lookups::list_machines))
            .route(&format!("{base}/machines/{{id}}"), web::get().to(lookups::machine))
            .route(&format!("{base}/files/{{hash}}"), web::get().to(lookups::file));
    }
}

async fn quarantine(
    request: HttpRequest,
    id: web::Path<String>,
    body: Bytes,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let sent: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let sha1 = sent.get("Sha1").and_then(Value::as_str).unwrap_or_default().to_owned();
    let names = (id.clone(), sha1);
    let act = |state: &mut State| stop_and_quarantine(state, &id, &sent);
    serve(&request, &shared, Place::Quarantine, (names, sent.clone()), act).await
}

async fn list_machine_actions(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let read = |state: &mut State| {
        let (now, pace) = (state.now(), state.pace());
        let visible = state.actions.all().iter().rev().filter(|action| is_visible(state, action.created_at));
        let records = visible.map(|action| action.to_json(pace, now)).collect();
        page(&request, state, records, &MACHINE_ACTION_FILTERS)
    };
    serve(&request, &shared, Place::MachineActions, Default::default(), read).await
}

async fn machine_action(
    request: HttpRequest,
    id: web::Path<String>,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let read = |state: &mut State| {
        let found = state.actions.find(&id).filter(|action| is_visible(state, action.created_at));
        let found = found.map(|action| action.to_json(state.pace(), state.now()));
        let missing = || No::new(404, "ResourceNotFound", format!("Resource {id} was not found"));
        found.map(|record| (200, record)).ok_or_else(missing)
    };
    serve(&request, &shared, Place::MachineActions, Default::default(), read).await
}

async fn cancel(request: HttpRequest, id: web::Path<String>, shared: web::Data<Shared>) -> HttpResponse {
    let act = |state: &mut State| {
        let (now, pace) = (state.now(), state.pace());
        let cancelled = state.actions.cancel(&id, pace, now);
        let missing = || No::new(404, "ResourceNotFound", format!("Resource {id} was not found"));
        let found = state.actions.find(&id).ok_or_else(missing)?;
        if cancelled {
            Ok((200, found.to_json(pace, now)))
        } else {
            Err(No::new(400, "BadRequest", "The action is over and cannot be cancelled"))
        }
    };
    serve(&request, &shared, Place::MachineActions, Default::default(), act).await
}

/// Serves one call: admission, fault, work, log.
pub(super) async fn serve(
    request: &HttpRequest,
    shared: &Shared,
    place: Place,
    (names, sent): ((String, String), Value),
    work: impl FnOnce(&mut State) -> Reply,
) -> HttpResponse {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let fault = shared.with(|state| state.faults.strike(place));
    if let Some(FaultKind::Delay { ms }) = fault {
        time::sleep(Duration::from_millis(ms)).await;
    }
    let no = fault.as_ref().and_then(|kind| State::fault_no(place, kind, &names));
    let acts = no.is_none() && fault.as_ref().is_none_or(FaultKind::acts_first);
    let reply = match no {
        Some(no) => Err(no),
        None if acts => shared.with(|state| state.admit(place, header).and_then(|()| work(state))),
        None => Ok((200, Value::Null)),
    };
    let response = respond(&reply, fault.as_ref());
    shared.with(|state| {
        let dropped = matches!(fault, Some(FaultKind::AnswerLost | FaultKind::RequestLost));
        let call = CallRecord {
            at: state.now().to_string(),
            method: request.method().to_string(),
            path: request.uri().to_string(),
            body: sent,
            status: if dropped { 0 } else { response.status().as_u16() },
        };
        state.record(call);
    });
    response
}

fn respond(reply: &Reply, fault: Option<&FaultKind>) -> HttpResponse {
    match fault {
        Some(FaultKind::AnswerLost | FaultKind::RequestLost) => broken_off(""),
        Some(FaultKind::Truncated) => broken_off("{\"@odata.context\": \"https://api.sec"),
        Some(FaultKind::Garbage) => HttpResponse::Created().body("<html>ok</html>"),
        Some(FaultKind::ActedThenStatus { status } | FaultKind::Status { status }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            let page = "<html><body><h1>The service is unavailable.</h1></body></html>";
            HttpResponse::build(status).content_type("text/html").body(page)
        }
        Some(FaultKind::Redirect) => HttpResponse::TemporaryRedirect()
            .insert_header(("Location", "https://redirected.example.test/"))
            .finish(),
        _ => match reply {
            Ok((status, body)) => {
                let status = StatusCode::from_u16(*status).unwrap_or_default();
                HttpResponse::build(status).json(with_next_link(body.clone(), fault))
            }
            Err(no) => no.respond(),
        },
    }
}

fn with_next_link(mut body: Value, fault: Option<&FaultKind>) -> Value {
    if let (Some(body), Some(FaultKind::NextLink { url })) = (body.as_object_mut(), fault) {
        body.insert("@odata.nextLink".to_owned(), json!(url));
    }
    body
}

/// Begins an answer and hangs up.
fn broken_off(beginning: &'static str) -> HttpResponse {
    let hung_up = || Err(std::io::Error::other("the simulator hangs up"));
    let parts = [Ok(Bytes::from_static(beginning.as_bytes())), hung_up()];
    let skipped = usize::from(beginning.is_empty());
    HttpResponse::Created().streaming(stream::iter(parts.into_iter().skip(skipped)))
}

fn is_visible(state: &State, created_at: jiff::Timestamp) -> bool {
    let age = state.now().duration_since(created_at);
    age.as_millis() >= i128::from(state.switches.list_lag_ms)
}
