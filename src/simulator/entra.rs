//! The simulated Entra ID: hands out tokens for the client-credentials flow, and later recognises Defender's.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::assertions::{self, ASSERTION_TYPE, Expected, Federation};
use super::call::{Answered, Request};
use super::credentials::{AUDIENCES, Credentials, GRAPH_AUDIENCES};
use super::faults::FaultKind;
use super::issuer;
use super::state::State;

#[derive(Default)]
struct Form {
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
    scope: Option<String>,
    grant_type: Option<String>,
}

impl Form {
    fn of(request: &Request) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(&request.body) {
            let field = match name.as_ref() {
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                "client_assertion_type" => &mut form.client_assertion_type,
                "client_assertion" => &mut form.client_assertion,
                "scope" => &mut form.scope,
                "grant_type" => &mut form.grant_type,
                _ => continue,
            };
            *field = Some(value.into_owned());
        }
        form
    }
}

/// What a request asks for, as the log has it.
pub(super) fn asked(request: &Request) -> Value {
    let form = Form::of(request);
    let proof = match (&form.client_secret, &form.client_assertion) {
        (None, Some(_)) => "assertion",
        (Some(_), None) => "secret",
        _ => "none",
    };
    json!({"client_id": form.client_id, "scope": form.scope, "grant_type": form.grant_type, "proof": proof})
}

/// Answers a request for a token.
pub(super) fn answer(
    state: &mut State,
    request: &Request,
    tenant: &str,
    fault: Option<&FaultKind>,
) -> Answered {
    let form = Form::of(request);
    match fault {
        Some(FaultKind::InvalidClient) => {
            return refuse(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
        }
        Some(FaultKind::TemporarilyUnavailable) => {
            let message = "A transient error has occurred.";
            return refuse(503, "temporarily_unavailable", 90_033, message);
        }
        Some(FaultKind::Refusal { status, error, number, message }) => {
            return refuse(*status, error, *number, message);
        }
        Some(FaultKind::AnswerLost | FaultKind::RequestLost) => return Answered::broken_off(""),
        Some(FaultKind::Status { status }) => {
            return refuse(*status, "server_error", 50_000, "Something failed.");
        }
        _ => {}
    }
    let checked = check(&state.credentials, tenant, &form);
    let audience = match checked.and_then(|audience| prove(state, request, tenant, &form).map(|()| audience))
    {
        Ok(audience) => audience,
        Err(no) => return refuse(no.status, no.error, no.number, &no.message),
    };
    let (now, life_s) = (state.now(), state.switches.token_life_s);
    let token = if AUDIENCES.contains(&audience) || GRAPH_AUDIENCES.contains(&audience) {
        state.credentials.token(audience, &state.switches, now)
    } else {
        let issuer = issuer::name(&request.base, tenant);
        state.issuer_key.token(&issuer, audience, &state.credentials, (now, life_s))
    };
    let mut body = json!({
        "token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s, "access_token": token,
    });
    if let (Some(FaultKind::NoExpiry), Value::Object(body)) = (fault, &mut body) {
        body.remove("expires_in");
        body.remove("ext_expires_in");
    }
    Answered::json(200, &body).with_header("Cache-Control", "no-store")
}

/// A no of Entra ID.
pub(super) struct No {
    pub(super) status: u16,
    pub(super) error: &'static str,
    pub(super) number: u32,
    pub(super) message: String,
}

/// Checks what a request asks for; returns the audience.
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
    let scope = form.scope.as_deref().unwrap_or_default();
    let is_microsoft = |scope: &&str| AUDIENCES.contains(scope) || GRAPH_AUDIENCES.contains(scope);
    let is_known = |scope: &&str| is_microsoft(scope) || scope.starts_with("api://");
    match scope.strip_suffix("/.default").filter(is_known) {
        Some(audience) => Ok(audience),
        None => no(400, "invalid_scope", 70_011, &format!("The scope {scope} is not valid.")),
    }
}

/// Checks what proves the app registration: a secret or an assertion, not both.
fn prove(state: &mut State, request: &Request, tenant: &str, form: &Form) -> Result<(), No> {
    let no = |number, message: &str| {
        Err(No { status: 401, error: "invalid_client", number, message: message.to_owned() })
    };
    let assertion = match (&form.client_secret, &form.client_assertion) {
        (Some(secret), None) if secret == state.credentials.client_secret.expose_secret() => return Ok(()),
        (Some(_), None) => return no(7_000_215, "Invalid client secret provided."),
        (None, Some(assertion)) => assertion,
        _ => return no(7_000_218, "The request body must contain 'client_assertion' or 'client_secret'."),
    };
    if form.client_assertion_type.as_deref() != Some(ASSERTION_TYPE) {
        return no(7_000_218, "The request body must contain the parameter 'client_assertion_type'.");
    }
    let own = Federation {
        issuer: issuer::name(&request.base, tenant),
        subject: state.credentials.client_id.clone(),
        keys: vec![state.issuer_key.public()],
    };
    let now = state.now().as_second();
    let federations = [state.credentials.federations.as_slice(), &[own]].concat();
    let jti = assertions::judge(
        assertion,
        &Expected {
            client_id: &state.credentials.client_id,
            endpoint: &format!("{}{}", request.base, request.bare_path()),
            certificates: &state.credentials.certificates,
            federations: &federations,
            now,
        },
    )?;
    let is_new = jti.is_none_or(|jti| state.credentials.taken.insert(jti));
    if is_new { Ok(()) } else { no(700_027, "The assertion has been used before.") }
}

/// An error of Entra ID (reference, defender-api 7.7).
fn refuse(status: u16, error: &str, number: u32, message: &str) -> Answered {
    let trace = Uuid::new_v4();
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {message}\r\nTrace ID: {trace}\r\nCorrelation ID: {trace}"),
        "error_codes": [number], "trace_id": trace.to_string(), "correlation_id": trace.to_string(),
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    });
    Answered::json(status, &body)
}
