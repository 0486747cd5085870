//! `GET /v1/actions` and `GET /v1/actions/{id}`.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use url::form_urlencoded;

use crate::store::{ActionFilter, Scope};

use super::problem::{Problem, ProblemKind};
use super::{Context, auth, view};

/// How many actions a page holds if the caller does not say.
const PAGE: u32 = 50;

/// How many actions a page holds at most.
const PAGE_MAX: u32 = 200;

pub(super) async fn one(
    request: HttpRequest,
    path: Path<String>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    auth::require(&request, &context, Scope::ActionsRead).await?;
    let id = path.parse().or(Err(Problem::nothing_here()))?;
    let record = context.store.action(id).await?.ok_or_else(Problem::nothing_here)?;
    Ok(HttpResponse::Ok().json(view::action(&record, context.clock.now())))
}

pub(super) async fn list(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Problem> {
    auth::require(&request, &context, Scope::ActionsRead).await?;
    let page = context.store.actions(filter(request.query_string())?).await?;
    let now = context.clock.now();
    let actions: Vec<_> = page.actions.iter().map(|record| view::action(record, now)).collect();
    let next_cursor = page.next.map(|place| place.to_string());
    Ok(HttpResponse::Ok().json(json!({"actions": actions, "next_cursor": next_cursor})))
}

/// Reads the query. A parameter that is not known is refused: a filter that is silently ignored shows the
/// wrong list.
fn filter(query: &str) -> Result<ActionFilter, Problem> {
    let mut filter = ActionFilter { limit: PAGE, ..ActionFilter::default() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "state" => filter.state = Some(parse(&name, &value)?),
            "source" => filter.source = Some(parse(&name, &value)?),
            "alert_id" => filter.alert_id = Some(parse(&name, &value)?),
            "cursor" => filter.before = Some(parse(&name, &value)?),
            "limit" => filter.limit = parse(&name, &value)?,
            _ => {
                let detail = format!(
                    "There is no parameter {name:?}; there are state, source, alert_id, cursor and limit."
                );
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    if !(1..=PAGE_MAX).contains(&filter.limit) {
        let detail = format!("limit must be 1 to {PAGE_MAX}.");
        return Err(Problem::new(ProblemKind::InvalidParameter, detail));
    }
    Ok(filter)
}

fn parse<T>(name: &str, value: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    value
        .parse()
        .map_err(|error: T::Err| Problem::new(ProblemKind::InvalidParameter, format!("{name}: {error}")))
}
