//! `/v1/callbacks`: who is told what became of actions, how far that has come, and having it told again.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::alert::{CallbackName, EventType, MessageState};
use crate::store::{CallbackRecord, MessageFilter, MessageRecord, ReplayMessages, Replayed, ResumeCallback};

use super::auth::Caller;
use super::named::Named;
use super::parameters::{PAGE, cut, limit, parse};
use super::problem::{Problem, ProblemKind};
use super::said::{self, Reason};
use super::{Context, view};

/// Lists all callbacks, by name. There are few.
pub(super) async fn list(context: Data<Context>) -> Result<HttpResponse, Problem> {
    let callbacks = context.store.callbacks().await?;
    let callbacks: Vec<Value> = callbacks.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({"callbacks": callbacks})))
}

/// Lists messages of one, the newest first.
pub(super) async fn messages(
    request: HttpRequest,
    Named(name): Named<CallbackName>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let (mut filter, limit) = filter(name, request.query_string())?;
    filter.limit = limit.saturating_add(1);
    let mut messages = context.store.messages(filter).await?.ok_or_else(Problem::nothing_here)?;
    let next = cut(&mut messages, limit).map(|message| message.seq.to_string());
    let messages: Vec<Value> = messages.iter().map(message).collect();
    Ok(HttpResponse::Ok().json(json!({"messages": messages, "next_cursor": next})))
}

/// Has one message sent again, whatever became of it.
pub(super) async fn replay_one(
    Caller(who): Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let (name, id) = path.into_inner();
    let callback = name.parse().or(Err(Problem::nothing_here()))?;
    let said: Reason = said::read(&request, payload, &context).await?;
    let reason = said.text()?;
    replay(ReplayMessages { callback, id: Some(id), who, reason, now: context.clock.now() }, &context).await
}

/// Has all messages sent again that were given up.
pub(super) async fn replay_all(
    Caller(who): Caller,
    request: HttpRequest,
    Named(callback): Named<CallbackName>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    let reason = said.text()?;
    replay(ReplayMessages { callback, id: None, who, reason, now: context.clock.now() }, &context).await
}

async fn replay(replay: ReplayMessages, context: &Context) -> Result<HttpResponse, Problem> {
    let (callback, who) = (replay.callback.clone(), replay.who.clone());
    let replayed = context.store.replay_messages(replay).await?;
    tracing::info!(%callback, %who, result = %replayed, "messages to a callback are to be sent again");
    match replayed {
        Replayed::Queued { count, left } => {
            Ok(HttpResponse::Ok().json(json!({"queued": count, "dead_left": left})))
        }
        Replayed::Missing => Err(Problem::nothing_here()),
        Replayed::Closed(why) => Err(Problem::new(ProblemKind::CallbackClosed, format!("{why}."))),
    }
}

/// Has a callback told again that has answered 410.
pub(super) async fn resume(
    Caller(who): Caller,
    request: HttpRequest,
    Named(name): Named<CallbackName>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Reason = said::read(&request, payload, &context).await?;
    let resume = ResumeCallback {
        name: name.clone(),
        who: who.clone(),
        reason: said.text()?,
        now: context.clock.now(),
    };
    let resumed = context.store.resume_callback(resume).await?.ok_or_else(Problem::nothing_here)?;
    tracing::warn!(callback = %name, %who, "a callback is told again");
    Ok(HttpResponse::Ok().json(shown(&resumed)))
}

fn filter(callback: CallbackName, query: &str) -> Result<(MessageFilter, u32), Problem> {
    let mut filter = MessageFilter { callback, state: None, before: None, limit: 0 };
    let mut page = PAGE;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "state" => filter.state = Some(parse::<MessageState>(&name, &value)?),
            "cursor" => filter.before = Some(parse(&name, &value)?),
            "limit" => page = limit(&value)?,
            _ => {
                let detail = format!("There is no parameter {name:?}; there are state, cursor and limit.");
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    Ok((filter, page))
}

fn shown(callback: &CallbackRecord) -> Value {
    json!({
        "name": callback.name.as_str(), "status": callback.standing(), "origin": callback.origin,
        "since": view::time(Some(callback.since)), "gone_at": view::time(callback.gone_at),
        "removed_at": view::time(callback.removed_at), "queued": callback.queued,
        "oldest_queued_at": view::time(callback.oldest_queued_at), "delivered": callback.delivered,
        "dead": callback.dead,
    })
}

fn message(message: &MessageRecord) -> Value {
    json!({
        "id": message.id, "type": EventType::as_str(message.event), "action_id": message.action.to_string(),
        "state": message.state.as_str(), "attempts": message.attempts,
        "created_at": view::time(Some(message.created_at)), "next_at": view::time(message.next_at),
        "tried_at": view::time(message.tried_at), "http_status": message.status, "why": message.why,
        "ended_at": view::time(message.ended_at),
    })
}
