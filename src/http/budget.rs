//! `GET /v1/budget`: what the limits hold, what waits, and when a new action would go out.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Value, json};

use crate::alert::{Api, BreakerReport, Severity, Steady};
use crate::budget::{Budget, Snapshot};

use super::problem::{Problem, ProblemKind};
use super::{Context, view};

pub(super) async fn show(context: Data<Context>) -> Result<HttpResponse, Problem> {
    let snapshot = context.estimates.snapshot();
    let now = context.clock.steady();
    let Some(forecast) = snapshot.forecast() else {
        return Err(Problem::new(ProblemKind::NotReady, "The service is starting."));
    };
    let time = |at: Steady| view::time(Some(context.estimates.time_of(at)));
    let queue: Vec<Value> = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| {
            json!({
                "severity": severity.as_str(), "queued": snapshot.queued.of(Some(severity)),
                "coming": snapshot.coming.of(Some(severity)),
                "estimated_send_at": time(forecast.of_new(Some(severity)).max(now)),
            })
        })
        .collect();
    let apis = Api::ALL.into_iter().filter_map(|api| Some((api, snapshot.budget(api)?)));
    let apis: Vec<Value> = apis.map(|(api, budget)| of_api(api, budget, now, &time)).collect();
    Ok(HttpResponse::Ok().json(json!({
        "at": time(now), "counted_at": time(snapshot.taken_at), "apis": apis, "queue": queue,
        "paused_until": paused_until(&snapshot, now).and_then(time),
        "upstreams": snapshot.upstreams.iter().map(upstream).collect::<Vec<_>>(),
        "waits_for_first_look": snapshot.waits_for_first_look,
    })))
}

fn upstream(report: &BreakerReport) -> Value {
    let open = report.open.as_ref();
    json!({
        "upstream": report.upstream.as_str(), "state": report.state.as_str(),
        "reason": open.map(|open| open.trouble.as_str()), "said": open.map(|open| &open.said),
        "remedy": open.map(|open| open.trouble.remedy()), "since": view::time(open.map(|open| open.since)),
        "next_try_at": view::time(open.and_then(|open| open.next_try_at)),
    })
}

fn of_api(api: Api, budget: &Budget, now: Steady, time: &dyn Fn(Steady) -> Option<String>) -> Value {
    let windows: Vec<Value> = budget
        .windows(now)
        .iter()
        .map(|window| {
            json!({
                "window": window.window, "limit": window.limit, "used": window.used, "left": window.left(),
                "reserve": window.reserve,
            })
        })
        .collect();
    json!({
        "api": api.as_str(), "windows": windows,
        "blocked_until": budget.blocked_until(now).and_then(time),
    })
}

fn paused_until(snapshot: &Snapshot, now: Steady) -> Option<Steady> {
    snapshot.paused_until.filter(|until| *until > now)
}
