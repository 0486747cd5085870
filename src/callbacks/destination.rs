//! Where messages go, and how one request leaves.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use sha2::{Digest as _, Sha256};

use crate::alert::{SignedId, retry_time};
use crate::ingest::sign;
use crate::outgoing::{ClientError, Outgoing, Reach, Trust, causes, refused_address};
use crate::store::{DueMessage, Registration};

use super::{Answer, Callback};

/// How long a request may take, from the first byte out to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// All callbacks, each with its client.
#[derive(Debug, Default)]
pub struct Destinations {
    all: Vec<Arc<Destination>>,
    registrations: Vec<Registration>,
}

/// A callback, with its client.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) callback: Callback,
    http: Client,
}

impl Destinations {
    /// Makes the clients; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If there are no public certificates, or a callback leads to an address that is not connected to.
    pub fn new(callbacks: Vec<Callback>) -> Result<Self, ClientError> {
        let registrations = callbacks.iter().map(registration).collect();
        let one = |callback| Destination::new(callback).map(Arc::new);
        let all = callbacks.into_iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self { all, registrations })
    }

    pub(super) fn all(&self) -> &[Arc<Destination>] {
        &self.all
    }

    pub(super) fn registrations(&self) -> impl Iterator<Item = Registration> {
        self.registrations.iter().cloned()
    }
}

fn registration(callback: &Callback) -> Registration {
    Registration {
        name: callback.name.clone(),
        origin: callback.url.origin().ascii_serialization(),
        url_sha256: Sha256::digest(callback.url.as_str()).into(),
    }
}

impl Destination {
    fn new(callback: Callback) -> Result<Self, ClientError> {
        let outgoing = Outgoing {
            total_timeout: TIMEOUT,
            trust: Trust::PublicHttpsOnly,
            reach: Reach::PublicAnd(&callback.allow_private),
            ..Outgoing::new(&callback.url)
        };
        let http = outgoing.client()?;
        Ok(Self { callback, http })
    }

    /// Sends a message once. The body of the answer is not read: it means nothing here.
    pub(super) async fn post(&self, message: &DueMessage, now: Timestamp) -> Answer {
        let id: SignedId = match message.id.parse() {
            Ok(id) => id,
            Err(error) => return Answer::Unsendable(format!("{error}")),
        };
        let live = self.callback.keys.iter().filter(|key| key.is_live(now));
        let signatures: Vec<String> = live.map(|key| sign(key, &id, now, message.body.as_bytes())).collect();
        if signatures.is_empty() {
            return Answer::Unsendable("all secrets of the callback have passed their not_after".to_owned());
        }
        let request = self
            .http
            .post(self.callback.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id.as_str())
            .header("webhook-timestamp", now.as_second().to_string())
            .header("webhook-signature", signatures.join(" "))
            .body(message.body.clone());
        match request.send().await {
            Ok(response) => {
                let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = wait.and_then(|text| retry_time(text, now));
                Answer::Status { status: response.status().as_u16(), retry_after }
            }
            Err(error) => no_answer(error),
        }
    }
}

fn no_answer(error: reqwest::Error) -> Answer {
    if let Some(refused) = refused_address(&error) {
        return Answer::Refused(refused.to_string());
    }
    if error.is_timeout() {
        return Answer::Timeout(causes(error));
    }
    Answer::Unreachable(causes(error))
}
