//! Asks the platform for a token of a managed identity (reference, defender-api 7.6).

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use super::aadsts;
use super::answer::{Answer, plain, text};
use super::exchange::Exchange;
use super::identity::{IdentityHost, ManagedIdentity};
use super::token::{ANSWER_BYTES_MAX, Granted, TokenError};

/// What a refusal means where it has no AADSTS number.
const REMEDY: &str = "check that this machine or app has the identity: its own one, if client_id is left out, else the \
                      user-assigned one with that client id";

/// Asks for a token.
pub(super) async fn fetch(
    identity: &ManagedIdentity,
    scope: &str,
    exchange: &Exchange,
    now: Timestamp,
) -> Result<Granted, TokenError> {
    let request = request(identity, scope)?;
    let answer = exchange.send(request, ANSWER_BYTES_MAX).await;
    let answer = answer.map_err(|failure| TokenError::NoAnswer(failure.why()))?;
    if answer.status == 200 { granted(&answer, now) } else { Err(refused(&answer)) }
}

fn request(identity: &ManagedIdentity, scope: &str) -> Result<Request, TokenError> {
    let mut url = identity.host.endpoint().clone();
    let (version, (name, value)) = match &identity.host {
        IdentityHost::Vm { .. } => ("2018-02-01", ("metadata", HeaderValue::from_static("true"))),
        IdentityHost::AppService { header, .. } => {
            let header = HeaderValue::try_from(header.expose_secret());
            let header =
                header.or(Err(TokenError::NoProof("the platform's IDENTITY_HEADER is no header".into())))?;
            ("2019-08-01", ("x-identity-header", header))
        }
    };
    // A resource is what a scope was called before.
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
    if let Some(client_id) = &identity.client_id {
        url.query_pairs_mut().append_pair("client_id", client_id);
    }
    let mut request = Request::new(Method::GET, url);
    let mut value = value;
    value.set_sensitive(true);
    request.headers_mut().insert(HeaderName::from_static(name), value);
    Ok(request)
}

/// An answer with a token. Its numbers are texts, and not both are there.
#[derive(Deserialize)]
struct Grant {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
}

fn what_is_wrong(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Io | Category::Eof => "it breaks off",
        Category::Syntax => "it is not JSON",
        Category::Data => "it has no access_token, or something else in its place",
    }
}

fn granted(answer: &Answer, now: Timestamp) -> Result<Granted, TokenError> {
    let grant: Grant = serde_json::from_slice(&answer.body)
        // What else it says may quote the answer.
        .map_err(|error| TokenError::NoAnswer(format!("an answer that is no token: {}", what_is_wrong(&error))))?;
    let life = seconds(&grant.expires_in).map(SignedDuration::from_secs);
    let until = |end: i64| SignedDuration::from_secs(end.saturating_sub(now.as_second()));
    let life = life.or_else(|| seconds(&grant.expires_on).map(until));
    Ok(Granted { secret: grant.access_token.into(), life })
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Reads a no. IMDS asks to be asked again after 404, 410, 429 and 5xx; a clear no is 400, 401 or 403.
fn refused(answer: &Answer) -> TokenError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let description = text(&body, "error_description").or_else(|| text(&body, "message"));
    let description = description.unwrap_or_default();
    let description = plain(description.lines().next().unwrap_or_default());
    let error = text(&body, "error").map_or_else(|| answer.status.to_string(), |error| plain(&error));
    if !matches!(answer.status, 400 | 401 | 403) || aadsts::passes(&error, &description) {
        return TokenError::NoAnswer(format!("status {}: {error}: {description}", answer.status));
    }
    let remedy = if aadsts::number(&description).is_some() { aadsts::remedy(&description) } else { REMEDY };
    TokenError::Refused { by: "the managed identity's endpoint", error, description, remedy }
}
