//! Microsoft Graph: fetches the alerts that change notifications only refer to.
//!
//! `answer` and `step` are pure; `fetcher` is the loop.

mod answer;
mod fetcher;
mod step;

use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};
use url::Url;

use crate::alert::GraphAlertId;
use crate::clock::Clock;
use crate::microsoft::{
    Answer, Exchange, Failure, Identity, Needs, Token, TokenError, TokenSource, authorized,
};
use crate::outgoing::ClientError;
use crate::telemetry::{Metrics, metric};

pub use answer::{Given, given};
pub use fetcher::{AlertFetcher, MaxAges, Parts};
pub use step::{Step, next};

/// The longest alert taken: as much as a delivery may have.
const ALERT_BYTES_MAX: usize = 256 * 1024;

/// The app roles of which the token needs one (Microsoft Learn, "Get alert" of microsoft.graph.security).
const ROLES: &[&[&str]] = &[&["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"]];

/// How to reach Microsoft Graph, and as whom.
#[derive(Clone)]
pub struct Options {
    /// Base of the API, such as `https://graph.microsoft.com`.
    pub api_url: Url,
    /// As whom.
    pub identity: Identity,
    /// What the token is for, such as `https://graph.microsoft.com/.default`.
    pub scope: String,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = f.debug_struct("Options");
        options
            .field("api_url", &self.api_url.as_str())
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Client of Microsoft Graph. A cheap handle.
#[derive(Debug, Clone)]
pub struct Graph {
    api_url: Url,
    exchange: Exchange,
    tokens: Arc<TokenSource>,
    clock: Clock,
    metrics: Metrics,
}

impl Graph {
    /// Makes a client; nothing is sent yet.
    pub fn new(options: &Options, clock: Clock, metrics: Metrics) -> Result<Self, ClientError> {
        let needs = Needs { api: "graph", scope: &options.scope, roles: ROLES };
        let login = options.identity.exchange()?;
        let tokens = Arc::new(TokenSource::new(&options.identity, &needs, login, metrics.clone()));
        let exchange = Exchange::with(&options.api_url)?;
        Ok(Self { api_url: options.api_url.clone(), exchange, tokens, clock, metrics })
    }

    /// Takes over what proves who asks, if it was replaced.
    pub fn take_over(&self, identity: &Identity) {
        self.tokens.take_over(identity);
    }

    /// Returns a token that Graph should take, fetching one if needed.
    pub async fn token(&self) -> Result<Token, TokenError> {
        self.tokens.token(self.clock.now()).await
    }

    /// Asks for one alert; once more, with a new token, if the first token was not taken.
    ///
    /// # Errors
    ///
    /// If there is no token.
    pub async fn alert(&self, id: &GraphAlertId) -> Result<Given, TokenError> {
        let token = self.tokens.token(self.clock.now()).await?;
        let first = self.ask(id, &token).await;
        if !matches!(first, Given::Unauthorized(_)) {
            return Ok(first);
        }
        self.tokens.forget(&token).await;
        let token = self.tokens.token(self.clock.now()).await?;
        Ok(self.ask(id, &token).await)
    }

    async fn ask(&self, id: &GraphAlertId, token: &Token) -> Given {
        let answer = self.answer(id, token).await;
        let status = answer.as_ref().map_or("none".to_owned(), |answer| answer.status.to_string());
        self.metrics.count(&metric::DEFENDER_REQUESTS, &[("api", "graph_alert"), ("status", &status)]);
        match answer {
            Ok(answer) => given(answer, self.clock.now()),
            Err(Failure::TooLong(why)) => Given::Refused(why),
            Err(failure) => Given::Unreachable(failure.why()),
        }
    }

    async fn answer(&self, id: &GraphAlertId, token: &Token) -> Result<Answer, Failure> {
        let mut request = authorized(Method::GET, self.url(id), token)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.exchange.send(request, ALERT_BYTES_MAX).await
    }

    fn url(&self, id: &GraphAlertId) -> Url {
        let mut url = self.api_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1.0", "security", "alerts_v2", id.as_str()]);
        }
        url
    }
}
