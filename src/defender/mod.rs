//! Entra ID and Microsoft Defender for Endpoint: the token, the one call that acts, and the reads that tell
//! what came of it.
//!
//! Facts: reference/defender-api.md. Nothing here decides, retries or follows a redirect.

mod cancel;
mod lookups;
mod machine_actions;
mod outcome;
mod read;
mod traits;
mod wire;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use url::Url;

use crate::alert::{MachineAction, Outcome};
use crate::clock::Clock;
use crate::microsoft::{Exchange, Failure, Identity, Needs, TokenSource, authorized};
use crate::outgoing::ClientError;
use crate::store::RecordedIntent;
use crate::telemetry::{Metrics, metric};

pub use crate::microsoft::{Answer, Token, TokenError};
pub use lookups::LookedUp;
pub use machine_actions::ListFilter;
pub use outcome::{classify, classify_cancel};
pub use read::ReadError;

/// How many pages of machine actions are read; a page holds up to 10,000.
const ACTION_PAGES_MAX: usize = 20;

/// The longest answer read: a page of 10,000 machine actions is about 8 MiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The role for the call itself, and those of which one is needed besides (reference, defender-api 0.4).
const ROLES: &[&[&str]] = &[&["Machine.StopAndQuarantine"], &["Machine.Read.All", "Machine.ReadWrite.All"]];

/// How to reach Defender, and as whom.
#[derive(Clone)]
pub struct Options {
    /// Base of Defender's API, such as `https://api.security.microsoft.com`.
    pub api_url: Url,
    /// As whom.
    pub identity: Identity,
    /// What the token is for, such as `https://api.securitycenter.microsoft.com/.default`.
    pub scope: String,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("api_url", &self.api_url.as_str())
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Client of Defender. A cheap handle.
#[derive(Debug, Clone)]
pub struct Defender {
    api_url: Url,
    exchange: Exchange,
    tokens: Arc<TokenSource>,
    clock: Clock,
    metrics: Metrics,
}

impl Defender {
    /// Makes a client; nothing is sent yet.
    pub fn new(options: &Options, clock: Clock, metrics: Metrics) -> Result<Self, ClientError> {
        let login = options.identity.exchange()?;
        Ok(Self::through([login, Exchange::with(&options.api_url)?], options, clock, metrics))
    }

    /// Makes a client that gets its tokens by the first exchange and reaches Defender by the second.
    pub fn through(exchanges: [Exchange; 2], options: &Options, clock: Clock, metrics: Metrics) -> Self {
        let [login, exchange] = exchanges;
        let needs = Needs { api: "defender", scope: &options.scope, roles: ROLES };
        let tokens = Arc::new(TokenSource::new(&options.identity, &needs, login, metrics.clone()));
        Self { api_url: options.api_url.clone(), exchange, tokens, clock, metrics }
    }

    /// Takes over what proves who asks, if it was replaced.
    pub fn take_over(&self, identity: &Identity) {
        self.tokens.take_over(identity);
    }

    /// Returns a token that Defender should take, fetching one if needed.
    pub async fn token(&self) -> Result<Token, TokenError> {
        self.tokens.token(self.clock.now()).await
    }

    /// Drops a token that Defender did not take, so that the next one is fresh.
    pub async fn forget(&self, token: &Token) {
        self.tokens.forget(token).await;
    }

    /// Calls StopAndQuarantineFile: one request, no retry, no redirect.
    ///
    /// The intent is used up. A call without one does not compile:
    ///
    /// ```no_run
    /// # use quarantine_bridge::{defender::{Defender, Token}, store::RecordedIntent};
    /// async fn call(defender: Defender, token: Token, intent: RecordedIntent) {
    ///     defender.stop_and_quarantine(&token, intent).await;
    /// }
    /// ```
    ///
    /// ```compile_fail,E0061
    /// # use quarantine_bridge::{defender::{Defender, Token}, store::RecordedIntent};
    /// async fn call(defender: Defender, token: Token, intent: RecordedIntent) {
    ///     defender.stop_and_quarantine(&token).await;
    /// }
    /// ```
    pub async fn stop_and_quarantine(&self, token: &Token, intent: RecordedIntent) -> Outcome {
        let target = intent.target();
        let machine_id = target.machine_id.to_string();
        let url = self.url(&["machines", &machine_id, "StopAndQuarantineFile"]);
        let body = wire::stop_and_quarantine(intent.comment(), &target.sha1.to_string());
        let outcome = match self.answer(posted(url, token, body), "stop_and_quarantine").await {
            Ok(answer) => classify(&answer, target, self.clock.now()),
            Err(Failure::NotSent(why)) => Outcome::NotSent { why },
            Err(Failure::Lost(why) | Failure::TooLong(why)) => Outcome::Unknown { why, status: None },
        };
        self.metrics.count(&metric::OUTCOMES, &[("outcome", outcome.as_str())]);
        outcome
    }

    /// Sends a request and reads its answer, whatever it is.
    async fn answer(&self, request: Result<Request, Failure>, api: &'static str) -> Result<Answer, Failure> {
        let result = match request {
            Ok(request) => self.exchange.send(request, ANSWER_BYTES_MAX).await,
            Err(failure) => Err(failure),
        };
        let status = result.as_ref().map_or("none".to_owned(), |answer: &Answer| answer.status.to_string());
        self.metrics.count(&metric::DEFENDER_REQUESTS, &[("api", api), ("status", &status)]);
        result
    }

    /// Builds an address under the API's base from path segments, each escaped on its own.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.api_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("api").extend(segments);
        }
        url
    }

    /// Reads machine actions, all pages of them.
    pub async fn machine_actions(
        &self,
        token: &Token,
        filter: &ListFilter,
    ) -> Result<Vec<MachineAction>, ReadError> {
        let mut url = self.url(&["machineactions"]);
        url.query_pairs_mut().append_pair("$filter", &filter.to_odata());
        let mut all = Vec::new();
        for _ in 0..ACTION_PAGES_MAX {
            let page = read::page(&self.get(token, url, "list_machine_actions").await?, self.now())?;
            all.extend(machine_actions::records(&page.items)?);
            let Some(next) = page.next_link else {
                return Ok(all);
            };
            url = self.same_origin(&next)?;
        }
        Err(ReadError::TooLong)
    }

    /// Reads one answer.
    async fn get(&self, token: &Token, url: Url, api: &'static str) -> Result<Answer, Failure> {
        self.answer(authorized(Method::GET, url, token), api).await
    }

    /// Takes a link to the next page only if it leads to where the first page came from.
    fn same_origin(&self, link: &str) -> Result<Url, ReadError> {
        let url =
            Url::parse(link).or(Err(ReadError::Garbage("a next link that is no address".to_owned())))?;
        if url.origin() == self.api_url.origin() { Ok(url) } else { Err(ReadError::ForeignLink) }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Makes a request that shows a token and has a body in JSON.
fn posted(url: Url, token: &Token, body: Vec<u8>) -> Result<Request, Failure> {
    let mut request = authorized(Method::POST, url, token)?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(body.into());
    Ok(request)
}
