//! Every route, who gets in there, and who answers.

use std::collections::BTreeMap;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpResponse, web};

use crate::store::Scope;

use super::problem::Problem;
use super::{
    actions, approvals, approve_link, audit, auth, blast_breaker, budget, callbacks, cancel, deliveries,
    document, events, health, hooks, kill_switch, links, openc2, requests, retry, source_health, tokens,
    undo,
};

use Access::{Link, Open, Source, Token};

/// Who gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// A source: its delivery proves who sends it.
    Source,
    /// Whoever has a one-time link: its page proves it.
    Link,
    /// Whoever shows a token of this scope.
    Token(Scope),
}

/// One route: what it is called with, who gets in and who answers.
struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    answered: Answered,
}

/// Names who answers.
type Answered = fn(actix_web::Route) -> actix_web::Route;

/// Every route, and who gets in: no handler is reached past this table. `openapi.yaml` describes each.
const ROUTES: &[Route] = &[
    post("/v1/hooks/{source}", Source, |it| it.to(hooks::receive)),
    post("/v1/hooks/{source}/{token}", Source, |it| it.to(hooks::receive_by_path)),
    get("/v1/actions", Token(Scope::ActionsRead), |it| it.to(actions::list)),
    post("/v1/actions", Token(Scope::ActionsWrite), |it| it.to(requests::one)),
    post("/v1/actions/batch", Token(Scope::ActionsWrite), |it| it.to(requests::several)),
    post("/v1/openc2", Token(Scope::ActionsWrite), |it| it.to(openc2::receive)),
    post("/.well-known/openc2", Token(Scope::ActionsWrite), |it| it.to(openc2::receive)),
    get("/v1/actions/{id}/status", Token(Scope::ActionsWrite), |it| it.to(requests::status)),
    get("/v1/actions/{id}", Token(Scope::ActionsRead), |it| it.to(actions::one)),
    post("/v1/actions/{id}/complete", Token(Scope::ActionsComplete), |it| it.to(actions::complete)),
    post("/v1/actions/{id}/approve", Token(Scope::ActionsApprove), |it| it.to(approvals::approve)),
    post("/v1/actions/{id}/deny", Token(Scope::ActionsApprove), |it| it.to(approvals::deny)),
    post("/v1/actions/{id}/links", Token(Scope::LinksCreate), |it| it.to(links::create)),
    get("/approve/{link}", Link, |it| it.to(approve_link::show)),
    post("/approve/{link}", Link, |it| it.to(approve_link::decide)),
    post("/v1/actions/{id}/cancel", Token(Scope::ActionsCancel), |it| it.to(cancel::cancel)),
    post("/v1/actions/{id}/retry", Token(Scope::ActionsRetry), |it| it.to(retry::retry)),
    get("/v1/actions/{id}/undo", Token(Scope::ActionsRead), |it| it.to(undo::show)),
    post("/v1/actions/{id}/undo", Token(Scope::ActionsUndo), |it| it.to(undo::mark)),
    get("/v1/undo-marks", Token(Scope::ActionsRead), |it| it.to(undo::list)),
    post("/v1/undo-marks/remove", Token(Scope::UndoMarksRemove), |it| it.to(undo::remove)),
    post("/v1/deliveries/{id}/replay", Token(Scope::DeliveriesReplay), |it| it.to(deliveries::replay)),
    get("/v1/deliveries/{id}", Token(Scope::ActionsRead), |it| it.to(deliveries::one)),
    get("/v1/sources", Token(Scope::ActionsRead), |it| it.to(source_health::list)),
    get("/v1/budget", Token(Scope::ActionsRead), |it| it.to(budget::show)),
    get("/v1/events", Token(Scope::ActionsRead), |it| it.to(events::listen)),
    get("/v1/audit", Token(Scope::AuditRead), |it| it.to(audit::list)),
    get("/v1/kill-switch", Token(Scope::ActionsRead), |it| it.to(kill_switch::show)),
    post("/v1/kill-switch/on", Token(Scope::KillSwitchOn), |it| it.to(kill_switch::turn_on)),
    post("/v1/kill-switch/off", Token(Scope::KillSwitchOff), |it| it.to(kill_switch::turn_off)),
    get("/v1/blast-breaker", Token(Scope::ActionsRead), |it| it.to(blast_breaker::show)),
    post("/v1/blast-breaker/close", Token(Scope::PolicyWrite), |it| it.to(blast_breaker::close)),
    get("/v1/tokens", Token(Scope::TokensRead), |it| it.to(tokens::list)),
    post("/v1/tokens/{id}/revoke", Token(Scope::TokensRevoke), |it| it.to(tokens::revoke)),
    get("/v1/callbacks", Token(Scope::CallbacksRead), |it| it.to(callbacks::list)),
    get("/v1/callbacks/{name}/messages", Token(Scope::CallbacksRead), |it| it.to(callbacks::messages)),
    post("/v1/callbacks/{name}/messages/{id}/replay", Token(Scope::CallbacksReplay), |it| {
        it.to(callbacks::replay_one)
    }),
    post("/v1/callbacks/{name}/replay", Token(Scope::CallbacksReplay), |it| it.to(callbacks::replay_all)),
    post("/v1/callbacks/{name}/resume", Token(Scope::CallbacksResume), |it| it.to(callbacks::resume)),
    get("/openapi.yaml", Open, |it| it.to(document::openapi)),
    get("/livez", Open, |it| it.to(health::live)),
    get("/readyz", Open, |it| it.to(health::ready)),
    get("/metrics", Token(Scope::Metrics), |it| it.to(health::metrics)),
];

const fn get(path: &'static str, access: Access, answered: Answered) -> Route {
    Route { method: Method::GET, path, access, answered }
}

const fn post(path: &'static str, access: Access, answered: Answered) -> Route {
    Route { method: Method::POST, path, access, answered }
}

/// Method and path of every route, and who gets in.
pub fn table() -> impl Iterator<Item = (&'static str, &'static str, Access)> {
    ROUTES.iter().map(|route| (route.method.as_str(), route.path, route.access))
}

/// Has the routes served, each behind its door.
pub(super) fn serve(config: &mut web::ServiceConfig) {
    let mut by_path: BTreeMap<&'static str, Vec<&'static Route>> = BTreeMap::new();
    for route in ROUTES {
        by_path.entry(route.path).or_default().push(route);
    }
    for (path, routes) in by_path {
        let methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
        let allow = methods.join(", ");
        let mut resource = web::resource(path);
        for route in routes {
            let door = move |request: ServiceRequest, next: Next<_>| let_in(route.access, request, next);
            let answered = (route.answered)(web::method(route.method.clone()));
            resource = resource.route(answered.wrap(from_fn(door)));
        }
        let otherwise = web::to(move || {
            let problem = Problem::method_not_allowed(&allow);
            async { Err::<HttpResponse, _>(problem) }
        });
        config.service(resource.default_service(otherwise));
    }
}

/// Lets a request pass, or answers it in the handler's place.
async fn let_in<B: actix_web::body::MessageBody + 'static>(
    access: Access,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse, actix_web::Error> {
    if let Token(scope) = access
        && let Err(problem) = auth::admit(&request, scope).await
    {
        return Ok(request.error_response(problem));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}
