//! What each call of the simulated APIs goes through: fault, admission, work, log.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Answered, Request, Route};
use super::cancel::cancel;
use super::faults::FaultKind;
use super::paging::page;
use super::quarantine::stop_and_quarantine;
use super::refusals::{No, Reply};
use super::state::{CallRecord, State};
use super::{entra, graph, lookups, managed};

const MACHINE_ACTION_FILTERS: [&str; 6] =
    ["id", "status", "machineId", "type", "requestor", "creationDateTimeUtc"];

impl State {
    /// Returns the fault that strikes a request, and counts it.
    pub fn strike(&mut self, request: &Request) -> Option<FaultKind> {
        self.faults.strike(request.route()?.place())
    }

    /// Answers a request as the real services would, or as the fault has it. Delays are the caller's to keep.
    pub fn answer(&mut self, request: &Request, fault: Option<&FaultKind>) -> Answered {
        let Some(route) = request.route() else {
            return Answered::text(404, "text/plain", "");
        };
        let answered = match &route {
            Route::Token(tenant) => entra::answer(self, request, tenant, fault),
            Route::Managed(host) => managed::answer(self, request, *host, fault),
            _ => respond(&reply(self, request, &route, fault), fault),
        };
        let body = match &route {
            // The secret is not for the log.
            Route::Token(_) => entra::asked(request),
            Route::Managed(_) => managed::asked(request),
            Route::Quarantine(_) | Route::Cancel(_) => request.json(),
            _ => Value::Null,
        };
        self.record(CallRecord {
            at: self.now().to_string(),
            method: request.method.clone(),
            path: request.path.clone(),
            body,
            status: if answered.hangs_up && answered.body.is_empty() { 0 } else { answered.status },
        });
        answered
    }
}

fn reply(state: &mut State, request: &Request, route: &Route, fault: Option<&FaultKind>) -> Reply {
    let place = route.place();
    if let Some(no) = fault.and_then(|kind| State::fault_no(place, kind, &names(request, route))) {
        return Err(no);
    }
    if fault.is_some_and(|kind| !kind.acts_first()) {
        return Ok((200, Value::Null));
    }
    state.admit(place, request.authorization.as_deref())?;
    work(state, request, route)
}

/// The machine and the file that a quarantine call names.
fn names(request: &Request, route: &Route) -> (String, String) {
    let Route::Quarantine(machine) = route else {
        return Default::default();
    };
    let sha1 = request.json().get("Sha1").and_then(Value::as_str).unwrap_or_default().to_owned();
    (machine.clone(), sha1)
}

fn work(state: &mut State, request: &Request, route: &Route) -> Reply {
    match route {
        Route::Quarantine(id) => stop_and_quarantine(state, id, &request.json()),
        Route::MachineActions => list_machine_actions(state, request),
        Route::MachineAction(id) => machine_action(state, id),
        Route::Cancel(id) => cancel(state, id, &request.json()),
        Route::Machines => lookups::list_machines(state, request),
        Route::Machine(id) => lookups::machine(state, id),
        Route::File(hash) => lookups::file(state, hash),
        Route::FileStats(hash) => lookups::file_stats(state, request, hash),
        Route::FileMachines(hash) => lookups::file_machines(state, request, hash),
        Route::Alert(id) => graph::alert(state, id),
        Route::Token(_) | Route::Managed(_) => Err(No::new(404, "ResourceNotFound", "no call of an API")),
    }
}

fn list_machine_actions(state: &State, request: &Request) -> Reply {
    let (now, pace) = (state.now(), state.pace());
    let visible = state.actions.all().iter().rev().filter(|action| is_visible(state, action.created_at));
    let records = visible.map(|action| action.to_json(pace, now)).collect();
    page(request, state, records, &MACHINE_ACTION_FILTERS)
}

fn machine_action(state: &State, id: &str) -> Reply {
    let found = state.actions.find(id).filter(|action| is_visible(state, action.created_at));
    let found = found.map(|action| action.to_json(state.pace(), state.now()));
    found.map(|record| (200, record)).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> No {
    No::new(404, "ResourceNotFound", format!("Resource {id} was not found"))
}

fn is_visible(state: &State, created_at: Timestamp) -> bool {
    let age = state.now().duration_since(created_at);
    age.as_millis() >= i128::from(state.switches.list_lag_ms)
}

fn respond(reply: &Reply, fault: Option<&FaultKind>) -> Answered {
    match fault {
        Some(FaultKind::AnswerLost | FaultKind::RequestLost) => Answered::broken_off(""),
        Some(FaultKind::Truncated) => Answered::broken_off("{\"@odata.context\": \"https://api.sec"),
        Some(FaultKind::Garbage) => Answered::text(201, "text/plain", "<html>ok</html>"),
        Some(FaultKind::ActedThenStatus { status } | FaultKind::Status { status }) => {
            let page = "<html><body><h1>The service is unavailable.</h1></body></html>";
            Answered::text(*status, "text/html", page)
        }
        Some(FaultKind::Redirect) => {
            Answered::text(307, "text/plain", "").with_header("Location", "https://redirected.example.test/")
        }
        _ => match reply {
            Ok((status, body)) => Answered::json(*status, &with_next_link(body.clone(), fault)),
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
