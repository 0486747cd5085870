//! The simulated endpoints of managed identities: a virtual machine's IMDS, and that of App Service and Container Apps.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::call::{Answered, Request};
use super::credentials::{AUDIENCES, GRAPH_AUDIENCES};
use super::faults::FaultKind;
use super::state::State;

/// Which of the two is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Vm,
    AppService,
}

/// What a request asks for, as the log has it.
pub(super) fn asked(request: &Request) -> Value {
    json!({"resource": parameter(request, "resource"), "client_id": parameter(request, "client_id")})
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.query().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Answers a request for a token.
pub(super) fn answer(
    state: &mut State,
    request: &Request,
    host: Host,
    fault: Option<&FaultKind>,
) -> Answered {
    match fault {
        Some(FaultKind::Status { status }) => return refuse(*status, "error", "Something failed."),
        Some(FaultKind::Throttled { .. }) => return refuse(429, "too_many_requests", "Too many requests."),
        Some(FaultKind::AnswerLost | FaultKind::RequestLost) => return Answered::broken_off(""),
        Some(FaultKind::Refusal { status, error, number, message }) => {
            return refuse(*status, error, &format!("AADSTS{number}: {message}"));
        }
        _ => {}
    }
    if let Err(no) = admit(state, request, host) {
        return no;
    }
    let resource = parameter(request, "resource").unwrap_or_default();
    let is_known = AUDIENCES.contains(&resource.as_str()) || GRAPH_AUDIENCES.contains(&resource.as_str());
    if !is_known {
        let message =
            format!("AADSTS500011: The resource principal named {resource} was not found in the tenant.");
        return refuse(400, "invalid_resource", &message);
    }
    let client_id = parameter(request, "client_id");
    if client_id.as_ref().is_some_and(|id| *id != state.credentials.client_id) {
        return refuse(400, "invalid_request", "Identity not found");
    }
    let (now, life) = (state.now(), state.switches.token_life_s);
    let token = state.credentials.token(&resource, &state.switches, now);
    let end = now.as_second().saturating_add(i64::from(life)).to_string();
    let begin = now.as_second().saturating_sub(300).to_string();
    let body = match host {
        Host::Vm => json!({
            "access_token": token, "refresh_token": "", "expires_in": life.to_string(), "expires_on": end,
            "not_before": begin, "resource": resource, "token_type": "Bearer",
        }),
        Host::AppService => json!({
            "access_token": token, "expires_on": end, "resource": resource, "token_type": "Bearer",
            "client_id": state.credentials.client_id,
        }),
    };
    Answered::json(200, &body)
}

/// Each has a header that no browser and no proxy adds by itself.
fn admit(state: &State, request: &Request, host: Host) -> Result<(), Answered> {
    let version = parameter(request, "api-version");
    match host {
        Host::Vm => {
            if request.metadata.as_deref() != Some("true") {
                return Err(refuse(400, "bad_request_102", "Required metadata header not specified"));
            }
            if request.is_forwarded {
                return Err(refuse(400, "bad_request_101", "The request was forwarded"));
            }
            if version.as_deref() != Some("2018-02-01") {
                return Err(refuse(400, "bad_request_103", "Unsupported api-version"));
            }
        }
        Host::AppService => {
            let header = state.credentials.identity_header.expose_secret();
            if request.identity_header.as_deref() != Some(header) {
                return Err(refuse(401, "unauthorized", "The X-IDENTITY-HEADER is wrong"));
            }
            if version.as_deref() != Some("2019-08-01") {
                return Err(refuse(400, "bad_request", "Unsupported api-version"));
            }
        }
    }
    Ok(())
}

fn refuse(status: u16, error: &str, description: &str) -> Answered {
    Answered::json(status, &json!({"error": error, "error_description": description}))
}
