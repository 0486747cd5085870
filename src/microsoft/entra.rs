//! Asks Entra ID for a token of an app registration, by the client-credentials flow.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{
    AuthType, ClientId, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, RequestTokenError, Scope,
    TokenResponse as _, TokenUrl,
};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::aadsts;
use super::answer::plain;
use super::exchange::{Exchange, Failure};
use super::identity::{AppRegistration, Proof};
use super::token::{ANSWER_BYTES_MAX, Granted, TokenError};

/// What an assertion is sent as (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest token of another issuer that is read.
const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The token endpoint of a tenant. It knows no secret: the proof is added to each request.
type Endpoint = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Asks for a token.
pub(super) async fn fetch(
    app: &AppRegistration,
    scope: &str,
    exchange: &Exchange,
    now: Timestamp,
) -> Result<Granted, TokenError> {
    let endpoint = endpoint(app);
    let flow = endpoint.exchange_client_credentials().add_scope(Scope::new(scope.to_owned()));
    let proof = prove(app, endpoint.token_uri().as_str(), now).await?;
    let flow = match &proof {
        Shown::Secret(secret) => flow.add_extra_param("client_secret", secret.expose_secret()),
        Shown::Assertion(assertion) => flow
            .add_extra_param("client_assertion_type", ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion.expose_secret()),
    };
    let send = move |request: HttpRequest| send(exchange.clone(), request);
    let answer = flow.request_async(&send).await.map_err(token_error)?;
    Ok(Granted {
        secret: SecretString::from(answer.access_token().secret().clone()),
        life: answer.expires_in().and_then(|life| SignedDuration::try_from(life).ok()),
    })
}

fn endpoint(app: &AppRegistration) -> Endpoint {
    let mut url = app.login_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([&app.tenant_id, "oauth2", "v2.0", "token"]);
    }
    // With a secret of its own it would keep it in memory, readable, for as long as it lives.
    BasicClient::new(ClientId::new(app.client_id.clone()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(TokenUrl::from_url(url))
}

/// What a request shows.
enum Shown<'a> {
    Secret(&'a SecretString),
    Assertion(SecretString),
}

async fn prove<'a>(
    app: &'a AppRegistration,
    audience: &str,
    now: Timestamp,
) -> Result<Shown<'a>, TokenError> {
    match &app.proof {
        Proof::Secret(secret) => Ok(Shown::Secret(secret)),
        Proof::Certificate(certificate) => {
            let jti = Uuid::new_v4().to_string();
            let assertion = certificate.assertion(&app.client_id, audience, &jti, now);
            assertion.map(Shown::Assertion).map_err(|error| TokenError::NoProof(error.to_string()))
        }
        Proof::Federated(path) => {
            let path = path.clone();
            let read = spawn_blocking(move || read_token_file(&path)).await;
            let read = read.unwrap_or_else(|_| Err("reading the token file broke off".to_owned()));
            read.map(Shown::Assertion).map_err(TokenError::NoProof)
        }
    }
}

/// Reads the token of another issuer.
///
/// Whoever may read it is not looked at: Kubernetes writes it, readable in the pod, and it ends within the hour.
pub(crate) fn read_token_file(path: &Path) -> Result<SecretString, String> {
    let wrong = |what: &str| format!("the token file {} {what}", path.display());
    let metadata = fs::metadata(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if !metadata.is_file() || metadata.len() > TOKEN_FILE_BYTES_MAX {
        return Err(wrong("is not a small regular file"));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let text = SecretString::from(text);
    let token = text.expose_secret().trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if token.split('.').count() != 3 || !token.chars().all(is_plain) {
        return Err(wrong("holds no token: it must hold a signed JWT and nothing else"));
    }
    Ok(token.to_owned().into())
}

/// Sends a request of the flow as every other.
async fn send(exchange: Exchange, request: HttpRequest) -> Result<HttpResponse, SendError> {
    let request = reqwest::Request::try_from(request).map_err(Failure::of)?;
    let answer = exchange.send(request, ANSWER_BYTES_MAX).await?;
    let status = StatusCode::from_u16(answer.status).map_err(|error| SendError(error.to_string()))?;
    let mut response = HttpResponse::new(answer.body.to_vec());
    *response.status_mut() = status;
    Ok(response)
}

/// No answer of Entra ID.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SendError(String);

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self(failure.why())
    }
}

type FlowError = RequestTokenError<SendError, BasicErrorResponse>;

fn token_error(error: FlowError) -> TokenError {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            // The first line has the AADSTS number and the sentence; trace ids follow.
            let description = answer.error_description().map_or("", String::as_str);
            let description = plain(description.lines().next().unwrap_or_default());
            let error = plain(answer.error().as_ref());
            if aadsts::passes(&error, &description) {
                TokenError::NoAnswer(format!("{error}: {description}"))
            } else {
                let remedy = aadsts::remedy(&description);
                TokenError::Refused { by: "Entra ID", error, description, remedy }
            }
        }
        RequestTokenError::Request(error) => TokenError::NoAnswer(error.to_string()),
        RequestTokenError::Parse(error, _) => {
            TokenError::NoAnswer(format!("an answer that is no token: {error}"))
        }
        RequestTokenError::Other(what) => TokenError::NoAnswer(plain(&what)),
    }
}
