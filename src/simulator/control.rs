//! The simulator's own routes, to look at its log and to set its switches from outside.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Shared;
use super::faults::Fault;
use super::switches::Switches;
use super::world::World;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/simulator/calls", web::get().to(calls))
        .route("/simulator/faults", web::post().to(add_fault))
        .route("/simulator/faults", web::delete().to(clear_faults))
        .route("/simulator/switches", web::get().to(switches))
        .route("/simulator/switches", web::put().to(set_switches))
        .route("/simulator/world", web::put().to(set_world));
}

async fn calls(shared: web::Data<Shared>) -> HttpResponse {
    let calls = shared.with(|state| state.calls.clone());
    HttpResponse::Ok().json(json!({"calls": calls}))
}

async fn add_fault(shared: web::Data<Shared>, fault: web::Json<Fault>) -> HttpResponse {
    shared.with(|state| state.faults.push(fault.into_inner()));
    HttpResponse::NoContent().finish()
}

async fn clear_faults(shared: web::Data<Shared>) -> HttpResponse {
    shared.with(|state| state.faults.clear());
    HttpResponse::NoContent().finish()
}

async fn switches(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.with(|state| state.switches.clone()))
}

async fn set_switches(shared: web::Data<Shared>, switches: web::Json<Switches>) -> HttpResponse {
    shared.with(|state| state.switches = switches.into_inner());
    HttpResponse::NoContent().finish()
}

async fn set_world(shared: web::Data<Shared>, world: web::Json<World>) -> HttpResponse {
    shared.with(|state| state.world = world.into_inner());
    HttpResponse::NoContent().finish()
}
