//! The access token: fetched by the client-credentials flow, kept until shortly before its end, one fetch at
//! a time.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    RequestTokenError, Scope, TokenResponse as _, TokenUrl,
};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::alert::{after, before};
use crate::telemetry::{Metrics, metric};

use super::answer::plain;
use super::exchange::{Exchange, Failure};

/// A token is renewed when less than this is left of it, as Microsoft's own libraries do.
const RENEW_BEFORE_END: SignedDuration = SignedDuration::from_mins(5);

/// How long to wait before renewal is tried again while the old token still serves.
const RENEW_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Assumed when an answer does not say how long its token lives.
const LIFE_DEFAULT: SignedDuration = SignedDuration::from_mins(10);

/// Errors that pass by themselves (reference, defender-api 7.7).
const TRANSIENT: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// The longest answer read. A token has some 2 KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// As whom to ask Entra ID for tokens.
#[derive(Clone)]
pub struct AppRegistration {
    /// Base of Entra ID, such as `https://login.microsoftonline.com`.
    pub login_url: Url,
    /// The tenant.
    pub tenant_id: String,
    /// The app registration.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

impl fmt::Debug for AppRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppRegistration").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What a token must be good for.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The API, as metrics call it.
    pub api: &'static str,
    /// What the token is for, such as `https://graph.microsoft.com/.default`.
    pub scope: &'a str,
    /// App roles: of each list the token must have one.
    pub roles: &'static [&'static [&'static str]],
}

/// An access token. A cheap handle; it prints nothing.
#[derive(Clone)]
pub struct Token {
    secret: Arc<SecretString>,
    expires_at: Timestamp,
}

impl Token {
    pub(crate) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why there is no usable token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Entra ID said no.
    #[error(
        "Entra ID refused a token ({error}: {description}): check tenant_id, client_id and client_secret, and that admin \
         consent was given"
    )]
    Refused {
        /// Its error word.
        error: String,
        /// Its description, with the AADSTS number.
        description: String,
    },
    /// Entra ID did not answer, or not with a token.
    #[error("Entra ID gave no token: {0}")]
    NoAnswer(String),
    /// The token does not allow what is needed; using it would have every action refused.
    #[error("the token lacks the app role {0}: add it to the app registration, with admin consent")]
    RoleMissing(String),
}

type EntraClient = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Fetches tokens and keeps the last one.
pub struct TokenSource {
    entra: EntraClient,
    scope: Scope,
    api: &'static str,
    roles: &'static [&'static [&'static str]],
    exchange: Exchange,
    metrics: Metrics,
    /// Held during a fetch, so that others wait for its result instead of fetching too.
    kept: Mutex<Option<Kept>>,
}

/// The last token.
struct Kept {
    token: Token,
    /// When to fetch the next one.
    renew_at: Timestamp,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}

impl TokenSource {
    /// Makes one; nothing is sent yet.
    pub fn new(app: &AppRegistration, needs: &Needs<'_>, exchange: Exchange, metrics: Metrics) -> Self {
        let mut url = app.login_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([&app.tenant_id, "oauth2", "v2.0", "token"]);
        }
        let secret = ClientSecret::new(app.client_secret.expose_secret().to_owned());
        let entra = BasicClient::new(ClientId::new(app.client_id.clone()))
            .set_client_secret(secret)
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(TokenUrl::from_url(url));
        let scope = Scope::new(needs.scope.to_owned());
        let (api, roles) = (needs.api, needs.roles);
        Self { entra, scope, api, roles, exchange, metrics, kept: Mutex::new(None) }
    }

    /// Returns the kept token, or a new one when that has less than five minutes left.
    ///
    /// While no new one is to be had, the old one serves to its end: the five minutes are there for that.
    pub async fn token(&self, now: Timestamp) -> Result<Token, TokenError> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref()
            && now < kept.renew_at.min(kept.token.expires_at)
        {
            return Ok(kept.token.clone());
        }
        let error = match self.fetch(now).await {
            Ok(token) => {
                let renew_at = before(token.expires_at, RENEW_BEFORE_END);
                *kept = Some(Kept { token: token.clone(), renew_at });
                return Ok(token);
            }
            Err(error) => error,
        };
        match kept.as_mut().filter(|kept| now < kept.token.expires_at) {
            // A token that came without a role says that the right was taken away.
            Some(kept) if !matches!(error, TokenError::RoleMissing(_)) => {
                kept.renew_at = after(now, RENEW_AGAIN);
                tracing::warn!(%error, expires_at = %kept.token.expires_at, "the token could not be renewed; the old one serves to its end");
                Ok(kept.token.clone())
            }
            _ => Err(error),
        }
    }

    /// Drops a token that the API did not take, so that the next one is fresh.
    pub async fn forget(&self, token: &Token) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.token.secret, &token.secret)) {
            *kept = None;
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<Token, TokenError> {
        let exchange = self.exchange.clone();
        let send = move |request: HttpRequest| send(exchange.clone(), request);
        let flow = self.entra.exchange_client_credentials().add_scope(self.scope.clone());
        let result = flow.request_async(&send).await;
        let status = if result.is_ok() { "200" } else { "error" };
        self.metrics.count(&metric::DEFENDER_REQUESTS, &[("api", "token"), ("status", status)]);
        let answer = result.map_err(token_error)?;
        let life = answer.expires_in().and_then(|life| SignedDuration::try_from(life).ok());
        let expires_at = after(now, life.unwrap_or(LIFE_DEFAULT));
        let secret = answer.access_token().secret();
        self.check_roles(secret)?;
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "seconds since 1970 fit")]
        self.metrics.set(&metric::TOKEN_EXPIRY, &[("api", self.api)], expires_at.as_second() as f64);
        Ok(Token { secret: Arc::new(SecretString::from(secret.clone())), expires_at })
    }

    /// Says at once, and loudly, when the token cannot work: Entra ID hands out tokens without any role.
    fn check_roles(&self, token: &str) -> Result<(), TokenError> {
        let missing = missing_roles(token, self.roles);
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a handful")]
        self.metrics.set(&metric::ROLES_MISSING, &[("api", self.api)], missing.len() as f64);
        match missing.into_iter().reduce(|all, role| format!("{all} and {role}")) {
            None => Ok(()),
            Some(roles) => Err(TokenError::RoleMissing(roles)),
        }
    }
}

/// Sends a request of the OAuth2 flow as every other.
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

type FlowError = RequestTokenError<SendError, oauth2::basic::BasicErrorResponse>;

fn token_error(error: FlowError) -> TokenError {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            // The first line has the AADSTS number and the sentence; trace ids follow.
            let description = answer.error_description().map_or("", String::as_str);
            let description = plain(description.lines().next().unwrap_or_default());
            let error = answer.error().to_string();
            if TRANSIENT.contains(&error.as_str()) {
                TokenError::NoAnswer(format!("{error}: {description}"))
            } else {
                TokenError::Refused { error, description }
            }
        }
        RequestTokenError::Request(error) => TokenError::NoAnswer(error.to_string()),
        RequestTokenError::Parse(error, _) => {
            TokenError::NoAnswer(format!("an answer that is no token: {error}"))
        }
        RequestTokenError::Other(what) => TokenError::NoAnswer(plain(&what)),
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
}

/// Returns the needed roles that a token lacks. A token that cannot be read lacks none: the API will say.
fn missing_roles(token: &str, needed: &[&[&str]]) -> Vec<String> {
    let payload = token.split('.').nth(1).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let claims = payload.and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
    let Some(Claims { roles }) = claims else {
        return Vec::new();
    };
    let has = |role: &&str| roles.iter().any(|have| have == *role);
    let missing = needed.iter().filter(|any_of| !any_of.iter().any(has));
    missing.map(|any_of| any_of.join(" or ")).collect()
}
