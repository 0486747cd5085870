//! `/v1/actions`: lists, one action, and its completion.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::alert::{ActionId, State};
use crate::store::{ActionFilter, ActionRecord, Complete, Completed};
use crate::telemetry::metric;

use super::auth::Caller;
use super::named::Named;
use super::parameters::{PAGE, limit, parse, time};
use super::problem::{Problem, ProblemKind};
use super::said::{self, member, reason};
use super::waiting::{self, Applied};
use super::{Context, view};

/// Shows an action; to a caller that prefers to wait, when it has come to rest.
pub(super) async fn one(
    request: HttpRequest,
    Named(id): Named<ActionId>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let mut record = context.store.action(id).await?.ok_or_else(Problem::nothing_here)?;
    let applied = waiting::wait(&context, &request, id, record.action.state).await;
    if applied.is_some() {
        record = context.store.action(id).await?.ok_or_else(Problem::nothing_here)?;
    }
    let mut answer = HttpResponse::Ok();
    Applied::tell(applied, &mut answer);
    Ok(answer.json(shown(&context, &record).await?))
}

/// How an action looks, with when it is expected to go out.
pub(super) async fn shown(context: &Context, record: &ActionRecord) -> Result<Value, Problem> {
    let mut shown = view::action(record, context.clock.now());
    if let Value::Object(members) = &mut shown {
        let older = match record.action.state {
            State::Queued => context.store.older(record.action.id).await?,
            _ => None,
        };
        let estimate = context.estimates.of_action(&record.action, older);
        members.insert("estimated_send_at".to_owned(), json!(view::time(estimate)));
    }
    Ok(shown)
}

pub(super) async fn list(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Problem> {
    let page = context.store.actions(filter(request.query_string())?).await?;
    let now = context.clock.now();
    let actions: Vec<_> = page.actions.iter().map(|record| view::action(record, now)).collect();
    let next_cursor = page.next.map(|place| place.to_string());
    Ok(HttpResponse::Ok().json(json!({"actions": actions, "next_cursor": next_cursor})))
}

/// What a person says to complete an action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Completion {
    machine_id: Option<String>,
    sha1: Option<String>,
    reason: String,
}

pub(super) async fn complete(
    Caller(who): Caller,
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let said: Completion = said::read(&request, payload, &context).await?;
    let complete = Complete {
        action,
        machine_id: said.machine_id.as_deref().map(|text| member("machine_id", text)).transpose()?,
        sha1: said.sha1.as_deref().map(|text| member("sha1", text)).transpose()?,
        reason: reason(&said.reason)?,
        who: who.clone(),
        now: context.clock.now(),
    };
    let completed = context.store.complete(complete).await?;
    tracing::info!(%action, %who, result = %completed, "completion");
    let no = |detail: String| Err(Problem::new(ProblemKind::NotCompletable, detail));
    match completed {
        Completed::Resumed => {
            context.metrics.count(&metric::STATE_CHANGES, &[("state", State::Resolving.as_str())]);
        }
        Completed::Already => {}
        Completed::Missing => return Err(Problem::nothing_here()),
        Completed::NotHeld(state) => {
            return no(format!("It is {state}; only an action with a held_reason can be completed."));
        }
        Completed::Sha1Given => return no("The alert itself gives another SHA1.".to_owned()),
    }
    let record = context.store.action(action).await?.ok_or_else(Problem::nothing_here)?;
    Ok(HttpResponse::Ok().json(view::action(&record, context.clock.now())))
}

/// Reads the query. A parameter that is not known is refused: a filter that is silently ignored shows the
/// wrong list.
fn filter(query: &str) -> Result<ActionFilter, Problem> {
    let mut filter = ActionFilter { limit: PAGE, ..ActionFilter::default() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "state" => filter.state = Some(parse(&name, &value)?),
            "reason" => filter.held_reason = Some(parse(&name, &value)?),
            "source" => filter.source = Some(parse(&name, &value)?),
            "alert_id" => filter.alert_id = Some(parse(&name, &value)?),
            "machine_id" => filter.machine_id = Some(parse(&name, &value)?),
            "sha1" => filter.sha1 = Some(parse(&name, &value)?),
            "since" => filter.since = Some(time(&name, &value)?),
            "until" => filter.until = Some(time(&name, &value)?),
            "cursor" => filter.before = Some(parse(&name, &value)?),
            "limit" => filter.limit = limit(&value)?,
            _ => {
                let detail = format!(
                    "There is no parameter {name:?}; there are state, reason, source, alert_id, machine_id, \
                     sha1, since, until, cursor and limit."
                );
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    Ok(filter)
}
