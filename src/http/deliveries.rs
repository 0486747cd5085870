//! `/v1/deliveries`: one delivery, and reading it again.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::alert::DeliveryId;
use crate::mapping::Mapped;
use crate::store::{Receipt, Replay};

use super::auth::Caller;
use super::named::Named;
use super::problem::{Problem, ProblemKind};
use super::{Context, hooks, view};

pub(super) async fn one(
    Named(id): Named<DeliveryId>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let record = context.store.delivery(id).await?.ok_or_else(Problem::nothing_here)?;
    Ok(HttpResponse::Ok().json(view::delivery(&record)))
}

/// Reads a kept delivery with the format that its source has now, and accepts what is new.
pub(super) async fn replay(
    Caller(who): Caller,
    Named(delivery_id): Named<DeliveryId>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let record = context.store.delivery(delivery_id).await?.ok_or_else(Problem::nothing_here)?;
    let source = context.source(&record.source).ok_or_else(|| {
        Problem::new(ProblemKind::SourceUnknown, format!("There is no source {}.", record.source))
    })?;
    if source.gate.takes_api_tokens() {
        let detail =
            format!("The source {} asks for actions by the API, and sends no payloads.", source.name);
        return Err(Problem::new(ProblemKind::NotReplayable, detail));
    }
    let format = Arc::clone(&source.format);
    let mapped = hooks::map(&context, format, record.body.into()).await;
    let Mapped { alerts, refused, references, notices, .. } =
        mapped.map_err(|put_off| put_off.tell(&context, &source))?;
    let replay = Replay {
        delivery_id,
        alerts,
        refused: refused.clone(),
        references,
        notices,
        who: who.clone(),
        now: context.clock.now(),
    };
    let receipt = context.store.replay(replay).await?.ok_or_else(Problem::nothing_here)?;
    tracing::info!(delivery = %delivery_id, %who, source = source.name.as_str(), "a delivery was read again");
    match receipt {
        Receipt::New(accepted) => Ok(hooks::answer(&context, &source.name, 202, &accepted, &refused)),
        Receipt::Duplicate(accepted) => Ok(hooks::answer(&context, &source.name, 200, &accepted, &refused)),
        Receipt::Refused(id) | Receipt::Conflict(id) => {
            Err(hooks::refusal(&refused).with("delivery_id", json!(id.to_string())))
        }
    }
}
