//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Data;
use jiff::SignedDuration;
use serde_json::json;

use crate::alert::before;
use crate::store::ROOM_MIN;
use crate::telemetry::metric;

use super::problem::{Problem, ProblemKind};
use super::{Context, events, view};

/// The process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"live": true}))
}

/// Deliveries can be accepted: the store can be written, and dispatch has taken up where the last run ended.
///
/// It does not depend on Microsoft: while Defender is away, alerts are accepted and wait.
pub(super) async fn ready(context: Data<Context>) -> Result<HttpResponse, Problem> {
    if !*context.ready.borrow() {
        return Err(Problem::new(ProblemKind::NotReady, "The service is starting."));
    }
    if !context.store.is_writable().await {
        return Err(Problem::new(
            ProblemKind::NotReady,
            "The store cannot be written, or its disk is nearly full.",
        ));
    }
    let kill_switch = if context.store.kill_switch().await?.is_on { "on" } else { "off" };
    Ok(HttpResponse::Ok().json(json!({"ready": true, "kill_switch": kill_switch})))
}

pub(super) async fn metrics(context: Data<Context>) -> Result<HttpResponse, Problem> {
    for (state, count) in context.store.count_unfinished().await? {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        context.metrics.set(&metric::ACTIONS, &[("state", state.as_str())], f64::from(count));
    }
    show_held(&context).await?;
    let is_open = context.store.blast_breaker().await?.is_open;
    context.metrics.set(&metric::BLAST_BREAKER_OPEN, &[], f64::from(u8::from(is_open)));
    show_pending(&context).await?;
    show_callbacks(&context).await?;
    context.metrics.set(&metric::EVENT_LISTENERS, &[], f64::from(events::listening(&context)));
    let since = context.store.uncertain_since().await?;
    let age = since.map_or(SignedDuration::ZERO, |since| context.clock.now().duration_since(since));
    context.metrics.set(&metric::UNCERTAIN_AGE, &[], age.as_secs_f64());
    show_waiting(&context).await?;
    show_room(&context);
    context.key_uses.show(&Arc::clone(&context.sources.borrow()), &context.metrics);
    let text = context.metrics.render();
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

/// Shows how many actions have waited for a person for long. These are the reminders: alert on them.
async fn show_held(context: &Context) -> Result<(), Problem> {
    for (word, minutes) in [("15m", 15), ("60m", 60), ("240m", 240)] {
        let since = before(context.clock.now(), SignedDuration::from_mins(minutes));
        let count = context.store.held_since(since).await?;
        context.metrics.set(&metric::HELD_LONG, &[("waited", word)], f64::from(count));
    }
    Ok(())
}

/// Shows how long the oldest action waits to be sent.
async fn show_waiting(context: &Context) -> Result<(), Problem> {
    let now = context.clock.now();
    for (state, since) in context.store.waiting_since().await? {
        let age = since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        context.metrics.set(&metric::OLDEST_WAITING, &[("state", state.as_str())], age.as_secs_f64());
    }
    Ok(())
}

/// Shows how much room the store has, and how much it must have.
#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a few bytes of terabytes do not matter"
)]
fn show_room(context: &Context) {
    if let Some(left) = context.store.room_left() {
        context.metrics.set(&metric::STORE_ROOM, &[], left as f64);
        context.metrics.set(&metric::STORE_ROOM_MIN, &[], ROOM_MIN as f64);
    }
}

/// Shows what waits for devices at Defender: how many by source, and how long the oldest does.
async fn show_pending(context: &Context) -> Result<(), Problem> {
    let now = context.clock.now();
    let pending = context.store.pending_at_defender(before(now, view::DEVICE_IS_SLOW)).await?;
    let counts = pending.iter().map(|it| (vec![("source", it.source.as_str())], f64::from(it.count)));
    context.metrics.replace(&metric::DEVICES_WAITED_FOR, counts);
    let ages = pending.iter().map(|it| {
        let age = now.duration_since(it.oldest).as_secs_f64();
        (vec![("source", it.source.as_str())], age)
    });
    context.metrics.replace(&metric::LONGEST_WAIT, ages);
    Ok(())
}

/// Shows how far callbacks were told: how many messages each has in which state, and how long the oldest waits.
async fn show_callbacks(context: &Context) -> Result<(), Problem> {
    let now = context.clock.now();
    let callbacks = context.store.callbacks().await?;
    let counts = callbacks.iter().flat_map(|it| {
        let counts = [("queued", it.queued), ("delivered", it.delivered), ("dead", it.dead)];
        counts.map(|(state, count)| {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            (vec![("callback", it.name.as_str()), ("state", state)], count)
        })
    });
    context.metrics.replace(&metric::CALLBACK_MESSAGES, counts);
    let ages = callbacks.iter().map(|it| {
        let age = it.oldest_queued_at.map_or(SignedDuration::ZERO, |at| now.duration_since(at));
        (vec![("callback", it.name.as_str())], age.as_secs_f64())
    });
    context.metrics.replace(&metric::CALLBACK_OLDEST, ages);
    Ok(())
}
