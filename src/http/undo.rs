//! `/v1/actions/{id}/undo` and `/v1/undo-marks`: how a quarantine is undone, and the marks that keep it from coming back.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::alert::{ActionId, Target, after, days};
use crate::store::{MarkUndone, MarkedUndone, RemoveMark, UNDO_LIMIT};
use crate::undo::recipe;

use super::auth::Caller;
use super::named::Named;
use super::parameters::{cursor_and_limit, cut, parse};
use super::problem::{Problem, ProblemKind};
use super::said::{self, member, reason};
use super::{Context, view};

/// How many days a mark may be in force.
const DAYS_MAX: u16 = 366;

/// What is said to mark an action as undone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    reason: String,
    days: Option<u16>,
}

/// What is said to take a mark away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    machine_id: String,
    sha1: String,
    reason: String,
}

/// Shows how the action is undone; does nothing.
pub(super) async fn show(
    Named(id): Named<ActionId>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let record = context.store.action(id).await?.ok_or_else(Problem::nothing_here)?;
    let recipe = recipe(&record.action, record.superseded_by.as_ref(), context.portal);
    Ok(HttpResponse::Ok().json(recipe))
}

/// Marks what the action has done as undone.
pub(super) async fn mark(
    Caller(who): Caller,
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Mark = said::read(&request, payload, &context).await?;
    let now = context.clock.now();
    let until = until(now, said.days)?;
    let wish = MarkUndone { action, until, reason: reason(&said.reason)?, who: who.clone(), now };
    let marked = context.store.mark_undone(wish).await?;
    tracing::info!(%action, %who, result = %marked, "undo");
    match marked {
        MarkedUndone::Marked(_) => {}
        MarkedUndone::Nothing(state) => {
            let detail = format!("It is {state}: it has quarantined nothing, so there is nothing to undo.");
            return Err(Problem::new(ProblemKind::NotUndoable, detail));
        }
        MarkedUndone::Missing => return Err(Problem::nothing_here()),
    }
    let record = context.store.action(action).await?.ok_or_else(Problem::nothing_here)?;
    Ok(HttpResponse::Ok().json(view::action(&record, now)))
}

fn until(now: Timestamp, count: Option<u16>) -> Result<Timestamp, Problem> {
    match count {
        None => Ok(after(now, UNDO_LIMIT)),
        Some(count @ 1..=DAYS_MAX) => Ok(after(now, days(count))),
        Some(_) => {
            Err(Problem::new(ProblemKind::InvalidBody, format!("days must be between 1 and {DAYS_MAX}.")))
        }
    }
}

/// Lists the marks that are in force.
pub(super) async fn list(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Problem> {
    let (cursor, limit) = cursor_and_limit(request.query_string())?;
    let after = cursor.as_deref().map(read_cursor).transpose()?;
    let mut marks = context.store.undo_marks(after, limit.saturating_add(1), context.clock.now()).await?;
    let next = cut(&mut marks, limit).map(|mark| written_cursor(mark.target));
    let marks: Vec<Value> = marks.iter().map(view::undo_mark).collect();
    Ok(HttpResponse::Ok().json(json!({"undo_marks": marks, "next_cursor": next})))
}

/// Takes a mark away; shows what it was.
pub(super) async fn remove(
    Caller(who): Caller,
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Removal = said::read(&request, payload, &context).await?;
    let target =
        Target { machine_id: member("machine_id", &said.machine_id)?, sha1: member("sha1", &said.sha1)? };
    let remove =
        RemoveMark { target, reason: reason(&said.reason)?, who: who.clone(), now: context.clock.now() };
    let removed = context.store.remove_undo_mark(remove).await?;
    tracing::warn!(machine_id = %target.machine_id, sha1 = %target.sha1, %who, was_there = removed.is_some(), "an undo mark is to go");
    let mark = removed.ok_or_else(Problem::nothing_here)?;
    Ok(HttpResponse::Ok().json(view::undo_mark(&mark)))
}

fn written_cursor(target: Target) -> String {
    format!("{}-{}", target.machine_id, target.sha1)
}

fn read_cursor(text: &str) -> Result<Target, Problem> {
    let (machine_id, sha1) = text.split_once('-').unwrap_or((text, ""));
    Ok(Target { machine_id: parse("cursor", machine_id)?, sha1: parse("cursor", sha1)? })
}
