//! The access token: kept until shortly before its end, one fetch at a time.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::{Mutex, watch};

use crate::alert::{after, before};
use crate::telemetry::metric::Metric;
use crate::telemetry::{Metrics, metric};

use super::certificate::Certificate;
use super::exchange::Exchange;
use super::identity::Identity;
use super::{entra, managed};

/// A token is renewed when less than this is left of it, as Microsoft's own libraries do.
const RENEW_BEFORE_END: SignedDuration = SignedDuration::from_mins(5);

/// How long to wait before renewal is tried again while the old token still serves.
const RENEW_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Assumed when an answer does not say how long its token lives.
const LIFE_DEFAULT: SignedDuration = SignedDuration::from_mins(10);

/// How long before its end a certificate is warned of, each time that it is used.
const CERTIFICATE_NEAR_END: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The longest answer read. A token has some 2 KiB.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;

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

    /// Returns the app roles that it has; `None` if it cannot be read. Its signature is for the API to check.
    pub fn roles(&self) -> Option<Vec<String>> {
        roles(self.secret.expose_secret())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A token as it was handed out.
pub(super) struct Granted {
    pub(super) secret: SecretString,
    /// How long it lives, if that was said.
    pub(super) life: Option<SignedDuration>,
}

/// Why there is no usable token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Who hands out tokens said no.
    #[error("{by} refused a token ({error}: {description}): {remedy}")]
    Refused {
        /// Who it was.
        by: &'static str,
        /// Its error word.
        error: String,
        /// Its description, with the AADSTS number.
        description: String,
        /// What to do.
        remedy: &'static str,
    },
    /// What would prove who asks cannot be used, so nothing was asked.
    #[error("nothing proves who asks for a token: {0}")]
    NoProof(String),
    /// There was no answer, or one without a token.
    #[error("there is no token: {0}")]
    NoAnswer(String),
    /// The token does not allow what is needed; using it would have every action refused.
    #[error("the token lacks the app role {0}: give it to the application or identity, with admin consent")]
    RoleMissing(String),
}

/// Fetches tokens and keeps the last one.
pub struct TokenSource {
    identity: watch::Sender<Asking>,
    scope: String,
    api: &'static str,
    roles: &'static [&'static [&'static str]],
    exchange: Exchange,
    metrics: Metrics,
    /// Held during a fetch, so that others wait for its result instead of fetching too.
    kept: Mutex<Option<Kept>>,
}

/// As whom is asked.
#[derive(Clone)]
struct Asking {
    identity: Identity,
    /// How often its proof was replaced.
    turn: u64,
}

/// The last token.
struct Kept {
    token: Token,
    /// For which proof it was given, or the last one that was tried since.
    turn: u64,
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
    pub fn new(identity: &Identity, needs: &Needs<'_>, exchange: Exchange, metrics: Metrics) -> Self {
        if let Some(certificate) = identity.certificate() {
            set_time(&metrics, &metric::CREDENTIAL_EXPIRY, needs.api, certificate.not_after());
        }
        let identity = watch::Sender::new(Asking { identity: identity.clone(), turn: 0 });
        let scope = needs.scope.to_owned();
        let (api, roles) = (needs.api, needs.roles);
        Self { identity, scope, api, roles, exchange, metrics, kept: Mutex::new(None) }
    }

    /// Takes over a proof that was replaced: another secret, certificate or token file of the same app registration. All else
    /// takes a restart. The next token is asked for with it, at once: so it shows early whether Entra ID knows it.
    pub fn take_over(&self, new: &Identity) {
        let is_replaced = self.identity.send_if_modified(|asking| {
            let Some(identity) = asking.identity.rotated(new) else {
                return false;
            };
            *asking = Asking { identity, turn: asking.turn.saturating_add(1) };
            true
        });
        if is_replaced {
            if let Some(certificate) = new.certificate() {
                set_time(&self.metrics, &metric::CREDENTIAL_EXPIRY, self.api, certificate.not_after());
            }
            tracing::info!(api = self.api, as_whom = %new, "what proves who asks for tokens was replaced");
        }
    }

    /// Returns the kept token, or a new one when that has less than five minutes left, or what proves who asks was replaced.
    ///
    /// While no new one is to be had, the old one serves to its end: the five minutes are there for that.
    pub async fn token(&self, now: Timestamp) -> Result<Token, TokenError> {
        let mut kept = self.kept.lock().await;
        let Asking { identity, turn } = self.identity.borrow().clone();
        if let Some(kept) = kept.as_ref()
            && kept.turn == turn
            && now < kept.renew_at.min(kept.token.expires_at)
        {
            return Ok(kept.token.clone());
        }
        let error = match self.fetch(&identity, now).await {
            Ok(token) => {
                let renew_at = before(token.expires_at, RENEW_BEFORE_END);
                *kept = Some(Kept { token: token.clone(), turn, renew_at });
                return Ok(token);
            }
            Err(error) => error,
        };
        match kept.as_mut().filter(|kept| now < kept.token.expires_at) {
            // A token that came without a role says that the right was taken away.
            Some(kept) if !matches!(error, TokenError::RoleMissing(_)) => {
                kept.renew_at = after(now, RENEW_AGAIN);
                kept.turn = turn;
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

    async fn fetch(&self, identity: &Identity, now: Timestamp) -> Result<Token, TokenError> {
        warn_of_end(identity, now);
        let result = match identity {
            Identity::App(app) => entra::fetch(app, &self.scope, &self.exchange, now).await,
            Identity::Managed(identity) => managed::fetch(identity, &self.scope, &self.exchange, now).await,
        };
        let status = if result.is_ok() { "200" } else { "error" };
        self.metrics.count(&metric::DEFENDER_REQUESTS, &[("api", "token"), ("status", status)]);
        let Granted { secret, life } = result?;
        self.check_roles(secret.expose_secret())?;
        let expires_at = after(now, life.unwrap_or(LIFE_DEFAULT));
        set_time(&self.metrics, &metric::TOKEN_EXPIRY, self.api, expires_at);
        Ok(Token { secret: Arc::new(secret), expires_at })
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

/// Says in time that the certificate must be replaced.
fn warn_of_end(identity: &Identity, now: Timestamp) {
    let Some(not_after) = identity.certificate().map(Certificate::not_after) else {
        return;
    };
    if not_after.duration_since(now) < CERTIFICATE_NEAR_END {
        tracing::warn!(%not_after, "the certificate of [defender] ends soon; register a new one, and put it into its file");
    }
}

/// Shows a time, by API.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "seconds since 1970 fit")]
fn set_time(metrics: &Metrics, metric: &Metric, api: &'static str, at: Timestamp) {
    metrics.set(metric, &[("api", api)], at.as_second() as f64);
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
}

fn roles(token: &str) -> Option<Vec<String>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some(serde_json::from_slice::<Claims>(&payload).ok()?.roles)
}

/// Returns the needed roles that a token lacks. A token that cannot be read lacks none: the API will say.
fn missing_roles(token: &str, needed: &[&[&str]]) -> Vec<String> {
    let Some(roles) = roles(token) else {
        return Vec::new();
    };
    let has = |role: &&str| roles.iter().any(|have| have == *role);
    let missing = needed.iter().filter(|any_of| !any_of.iter().any(has));
    missing.map(|any_of| any_of.join(" or ")).collect()
}
