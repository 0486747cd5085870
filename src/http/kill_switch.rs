//! `/v1/kill-switch`: how it stands, and turning it.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::store::{KillSwitch, TurnOff, TurnOn, TurnedOff};
use crate::telemetry::metric;

use super::auth::Caller;
use super::problem::{Problem, ProblemKind};
use super::said::{self, Reason, reason};
use super::{Context, view};

/// What is said to turn it on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct On {
    reason: String,
    #[serde(default)]
    cancel_pending: bool,
}

pub(super) async fn show(context: Data<Context>) -> Result<HttpResponse, Problem> {
    answer(&context, None).await
}

/// Once this has answered, no call begins any more.
pub(super) async fn turn_on(
    Caller(who): Caller,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: On = said::read(&request, payload, &context).await?;
    let (reason, cancels) = (reason(&said.reason)?, said.cancel_pending);
    let on = TurnOn { who: who.clone(), reason: reason.clone(), cancels, now: context.clock.now() };
    let begun = context.store.turn_on(on).await?;
    context.metrics.set(&metric::KILL_SWITCH, &[], 1.0);
    tracing::warn!(%who, reason, cancels, begun, "the kill switch was turned on by the API");
    answer(&context, Some(begun)).await
}

pub(super) async fn turn_off(
    Caller(who): Caller,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    let reason = said.text()?;
    let off = TurnOff { who: who.clone(), reason: reason.clone(), now: context.clock.now() };
    let turned = context.store.turn_off(off).await?;
    tracing::warn!(%who, reason, result = %turned, "the API was asked to turn the kill switch off");
    match turned {
        TurnedOff::Off | TurnedOff::AlreadyOff => {
            context.metrics.set(&metric::KILL_SWITCH, &[], 0.0);
            answer(&context, None).await
        }
        TurnedOff::Signalled => {
            let detail = "The signal file is there, or it is not known whether it is. Remove it first.";
            Err(Problem::new(ProblemKind::SignalFile, detail))
        }
    }
}

async fn answer(context: &Context, begun: Option<usize>) -> Result<HttpResponse, Problem> {
    let mut shown = view(&context.store.kill_switch().await?);
    if let (Some(begun), Value::Object(members)) = (begun, &mut shown) {
        members.insert("cancellations".to_owned(), json!(begun));
    }
    Ok(HttpResponse::Ok().json(shown))
}

fn view(switch: &KillSwitch) -> Value {
    let last = switch.last.as_ref();
    json!({
        "is_on": switch.is_on, "signal_file": switch.is_signalled,
        "since": view::time(last.map(|turn| turn.at)), "by": last.map(|turn| turn.who.to_string()),
        "reason": last.map(|turn| &turn.reason),
    })
}
