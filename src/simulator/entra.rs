//! The simulated Entra ID: hands out tokens for the client-credentials flow, and later recognises Defender's.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shared;
use super::credentials::{AUDIENCES, Credentials, GRAPH_AUDIENCES};
use super::faults::{FaultKind, Place};
use super::issuer;
use super::state::{CallRecord, State};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.route("/{tenant}/oauth2/v2.0/token", web::post().to(token));
}

#[derive(Deserialize, Default)]
struct Form {
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
    grant_type: Option<String>,
}

async fn token(
    request: HttpRequest,
    tenant: web::Path<String>,
    form: web::Form<Form>,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let response = shared.with(|state| {
        let fault = state.faults.strike(Place::Token);
        answer(state, &issuer::name(&request, &tenant), (&tenant, &form), fault.as_ref())
    });
    let status = response.status().as_u16();
    shared.with(|state| {
        let at = state.now().to_string();
        // The secret is not for the log.
        let body = json!({"client_id": form.client_id, "scope": form.scope, "grant_type": form.grant_type});
        let path = request.uri().to_string();
        state.record(CallRecord { at, method: "POST".to_owned(), path, body, status });
    });
    response
}

fn answer(state: &mut State, issuer: &str, asked: (&str, &Form), fault: Option<&FaultKind>) -> HttpResponse {
    let (tenant, form) = asked;
    match fault {
        Some(FaultKind::InvalidClient) => {
            return refuse(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
        }
        Some(FaultKind::TemporarilyUnavailable) => {
            let message = "A transient error has occurred.";
            return refuse(503, "temporarily_unavailable", 90_033, message);
        }
        Some(FaultKind::Status { status }) => {
            return refuse(*status, "server_error", 50_000, "Something failed.");
        }
        _ => {}
    }
    let audience = match check(&state.credentials, tenant, form) {
        Ok(audience) => audience,
        Err(no) => return refuse(no.status, no.error, no.number, &no.message),
    };
    let (now, life_s) = (state.now(), state.switches.token_life_s);
    let token = if AUDIENCES.contains(&audience) || GRAPH_AUDIENCES.contains(&audience) {
        state.credentials.token(audience, &state.switches, now)
    } else {
        state.issuer_key.token(issuer, audience, &state.credentials, (now, life_s))
    };
    let mut body = json!({
        "token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s, "access_token": token,
    });
    if let (Some(FaultKind::NoExpiry), Value::Object(body)) = (fault, &mut body) {
        body.remove("expires_in");
        body.remove("ext_expires_in");
    }
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body)
}

/// A no of Entra ID.
struct No {
    status: u16,
    error: &'static str,
    number: u32,
    message: String,
}

/// Checks a request for a token; returns the audience that it asks for.
fn check<'a>(known: &Credentials, tenant: &str, form: &'a Form) -> Result<&'a str, No> {
    let no =
        |status, error, number, message: &str| Err(No { status, error, number, message: message.to_owned() });
    if tenant != known.tenant_id {
        return no(400, "invalid_request", 90_002, &format!("Tenant '{tenant}' not found."));
    }
    if form.grant_type.as_deref() != Some("client_credentials") {
        let message = "The app requested an unsupported grant type.";
        return no(400, "unsupported_grant_type", 70_003, message);
    }
    if form.client_id.as_deref() != Some(known.client_id.as_str()) {
        let message = "Application was not found in the directory.";
        return no(400, "unauthorized_client", 700_016, message);
    }
    if form.client_secret.as_deref() != Some(known.client_secret.expose_secret()) {
        return no(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
    }
    let scope = form.scope.as_deref().unwrap_or_default();
    let is_microsoft = |scope: &&str| AUDIENCES.contains(scope) || GRAPH_AUDIENCES.contains(scope);
    let is_known = |scope: &&str| is_microsoft(scope) || scope.starts_with("api://");
    match scope.strip_suffix("/.default").filter(is_known) {
        Some(audience) => Ok(audience),
        None => no(400, "invalid_scope", 70_011, &format!("The scope {scope} is not valid.")),
    }
}

/// An error of Entra ID (reference, defender-api 7.7).
fn refuse(status: u16, error: &str, number: u32, message: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    let trace = Uuid::new_v4();
    HttpResponse::build(status).json(json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {message}\r\nTrace ID: {trace}\r\nCorrelation ID: {trace}"),
        "error_codes": [number], "trace_id": trace.to_string(), "correlation_id": trace.to_string(),
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    }))
}
