//! The one place where a request to Microsoft leaves, and what came back for it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Request, Response};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::outgoing::{ClientError, Outgoing, causes};

use super::answer::Answer;
use super::token::Token;

/// As what this program asks: `MdePartner-{company}-{product}/{version}`, as Microsoft asks of partners (reference,
/// defender-api 1.1). There is no company behind it, so the product's name stands for both.
pub(super) const USER_AGENT: &str =
    concat!("MdePartner-QuarantineBridge-QuarantineBridge/", env!("CARGO_PKG_VERSION"));

/// How requests reach Microsoft. A cheap handle.
#[derive(Clone)]
pub enum Exchange {
    /// Over the network.
    Network(Client),
    /// To a function that plays Microsoft, for simulations.
    Played(Arc<Play>),
}

/// Plays Microsoft: takes a request and brings what came of it when it is awaited.
pub type Play = dyn Fn(Request) -> Playing + Send + Sync;

/// A request that is being played.
pub type Playing = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network(_) => "Network",
            Self::Played(_) => "Played",
        })
    }
}

impl Exchange {
    /// Makes one over the network; nothing is sent yet.
    pub fn with(to: &Url) -> Result<Self, ClientError> {
        Ok(Self::Network(Outgoing { user_agent: USER_AGENT, ..Outgoing::new(to) }.client()?))
    }

    /// Sends a request once and reads its answer, whatever it says, up to a limit.
    pub(crate) async fn send(&self, request: Request, bytes_max: usize) -> Result<Answer, Failure> {
        let client = match self {
            Self::Network(client) => client,
            Self::Played(play) => return play(request).await,
        };
        let response = client.execute(request).await.map_err(Failure::of)?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        Ok(Answer { status, retry_after, body: read_bounded(response, bytes_max).await? })
    }
}

/// Makes a request that shows a token.
pub(crate) fn authorized(method: Method, url: Url, token: &Token) -> Result<Request, Failure> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.secret().expose_secret()));
    let mut bearer = bearer.map_err(|error| Failure::NotSent(format!("the token is no header: {error}")))?;
    bearer.set_sensitive(true);
    let mut request = Request::new(method, url);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    Ok(request)
}

/// Why there is no answer to a request.
#[derive(Debug)]
pub enum Failure {
    /// Not one byte of the request left.
    NotSent(String),
    /// The request may have been received.
    Lost(String),
    /// An answer came, and it is longer than is taken.
    TooLong(String),
}

impl Failure {
    pub(crate) fn of(error: reqwest::Error) -> Self {
        // A request that cannot be written down never leaves.
        let is_unsent = error.is_connect() || error.is_builder();
        let why = causes(error);
        if is_unsent { Self::NotSent(why) } else { Self::Lost(why) }
    }

    /// What happened.
    pub fn why(self) -> String {
        match self {
            Self::NotSent(why) | Self::Lost(why) | Self::TooLong(why) => why,
        }
    }
}

/// Reads an answer's body, up to a limit.
async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::of)? {
        if body.len().saturating_add(chunk.len()) > bytes_max {
            let kib = bytes_max.checked_div(1024).unwrap_or_default();
            return Err(Failure::TooLong(format!("the answer is longer than {kib} KiB")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
