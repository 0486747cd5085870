//! `GET /openapi.yaml`: the description of the API, as this version of the service has it.

use actix_web::HttpResponse;

/// The document, word for word as it stands in the repository.
const OPENAPI: &str = include_str!("../../openapi.yaml");

/// It tells nothing that is not public, so it is open to everybody.
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/yaml").body(OPENAPI)
}
