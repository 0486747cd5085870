//! `GET /v1/deliveries/{id}`.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use crate::store::Scope;

use super::problem::Problem;
use super::{Context, auth, view};

pub(super) async fn one(
    request: HttpRequest,
    path: Path<String>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    auth::require(&request, &context, Scope::ActionsRead).await?;
    let id = path.parse().or(Err(Problem::nothing_here()))?;
    let record = context.store.delivery(id).await?.ok_or_else(Problem::nothing_here)?;
    Ok(HttpResponse::Ok().json(view::delivery(&record)))
}
