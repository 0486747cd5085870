//! One try of one delivery: sign, post, and settle what came of it on disk.

use std::error::Error as _;

use bytes::{Bytes, BytesMut};
use jiff::SignedDuration;
use reqwest::{Client, Response};
use url::Url;

use crate::alert::before;
use crate::clock::Clock;
use crate::ingest::{SigningKey, sign};
use crate::spool::{Delivery, Note, Place, ReadError, Spool, SpoolId};

use super::{Verdict, classify};

/// The longest answer read. One that names 2,600 alerts, as many as fit into a body, is about 1 MiB.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How much of an answer is kept in a note.
const KEPT_CHARS_MAX: usize = 16 * 1024;

/// How long a process tries a delivery at the least before it gives that up as too old.
const TRIED_FOR_MIN: SignedDuration = SignedDuration::from_mins(10);

/// Brings deliveries from a spool to the bridge.
#[derive(Debug, Clone)]
pub struct Courier {
    /// Where they are.
    pub spool: Spool,
    /// Where they go.
    pub to: Url,
    /// The client to go with.
    pub client: Client,
    /// What they are signed with.
    pub key: SigningKey,
    /// How long one is tried.
    pub keep: SignedDuration,
    /// The time.
    pub clock: Clock,
}

/// What became of a delivery in one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The bridge has it; it has left the spool.
    Taken,
    /// It is in `rejected`.
    Rejected {
        /// Why.
        reason: String,
        /// What the bridge answered.
        answer: Option<String>,
    },
    /// It is in `dead`.
    Dead {
        /// What came of the last try.
        verdict: Verdict,
    },
    /// It waits for the next try.
    Kept {
        /// What came of this one.
        verdict: Verdict,
        /// What the bridge answered.
        answer: Option<String>,
    },
    /// Another process has dealt with it.
    Gone,
}

/// An answer, or why there is none.
struct Answer {
    verdict: Verdict,
    text: Option<String>,
}

impl Courier {
    /// Tries a delivery once; `tries` is how often it was tried before, `tried_for` how long by this process, by the clock that
    /// nobody can set.
    pub async fn deliver(&self, id: SpoolId, tries: u32, tried_for: SignedDuration) -> Tried {
        let delivery = match self.spool.read(id) {
            Ok(delivery) => delivery,
            Err(ReadError::Gone) => return Tried::Gone,
            Err(error @ ReadError::Corrupt(_)) => return self.reject(id, tries, error.to_string(), None),
            Err(error @ ReadError::Unreadable(_)) => return kept(error.to_string(), None),
        };
        let Answer { verdict, text } = self.post(&delivery).await;
        let tries = tries.saturating_add(1);
        match verdict {
            Verdict::Taken => self.taken(&delivery),
            Verdict::Refused { reason } => self.reject(id, tries, reason, text),
            Verdict::Away { .. } | Verdict::Later { .. } | Verdict::Mend { .. } => {
                self.keep(&delivery, (tries, tried_for), verdict, text)
            }
        }
    }

    async fn post(&self, delivery: &Delivery) -> Answer {
        let now = self.clock.now();
        let request = self
            .client
            .post(self.to.clone())
            .header("content-type", "application/json")
            .header("webhook-id", delivery.signed_id.as_str())
            .header("webhook-timestamp", now.as_second().to_string())
            .header("webhook-signature", sign(&self.key, &delivery.signed_id, now, &delivery.body))
            .body(delivery.body.clone());
        match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => no_answer(error),
        }
    }

    async fn judge(&self, response: Response) -> Answer {
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(ToOwned::to_owned);
        let body = match read_bounded(response).await {
            Ok(body) => body,
            Err(error) => return no_answer(error),
        };
        let verdict = classify(status, retry_after.as_deref(), &body, self.clock.now());
        let text: String = String::from_utf8_lossy(&body).chars().take(KEPT_CHARS_MAX).collect();
        Answer { verdict, text: (!text.is_empty()).then_some(text) }
    }

    fn taken(&self, delivery: &Delivery) -> Tried {
        match self.spool.remove(delivery.id) {
            Ok(()) => {
                tracing::info!(delivery = %delivery.id, webhook_id = %delivery.signed_id, "the bridge has taken a delivery");
                Tried::Taken
            }
            // It is sent again under the same id, and the bridge knows it.
            Err(error) => kept(error.to_string(), None),
        }
    }

    fn reject(&self, id: SpoolId, tries: u32, reason: String, answer: Option<String>) -> Tried {
        tracing::error!(delivery = %id, %reason, answer, "a delivery is set aside in rejected");
        let note = self.note(tries, reason.clone(), answer.clone());
        match self.spool.set_aside(id, Place::Rejected, &note) {
            Ok(()) => Tried::Rejected { reason, answer },
            Err(error) => kept(error.to_string(), answer),
        }
    }

    /// Leaves a delivery for the next try, or gives it up if it has been kept for too long. The time of day alone does not say
    /// that: it may be set for a moment only.
    fn keep(
        &self,
        delivery: &Delivery,
        (tries, tried_for): (u32, SignedDuration),
        verdict: Verdict,
        answer: Option<String>,
    ) -> Tried {
        let reason = verdict.reason();
        let note = self.note(tries, reason.to_owned(), answer.clone());
        let is_old = delivery.received_at < before(self.clock.now(), self.keep);
        if !is_old || tried_for < self.keep.min(TRIED_FOR_MIN) {
            tracing::warn!(delivery = %delivery.id, reason, tries, "a delivery waits for another try");
            self.spool.note(delivery.id, &note);
            return Tried::Kept { verdict, answer };
        }
        self.give_up(delivery.id, verdict, &note)
    }

    fn give_up(&self, id: SpoolId, verdict: Verdict, note: &Note) -> Tried {
        tracing::error!(delivery = %id, reason = note.reason, tries = note.tries, "a delivery is given up and set aside in dead");
        match self.spool.set_aside(id, Place::Dead, note) {
            Ok(()) => Tried::Dead { verdict },
            Err(error) => kept(error.to_string(), note.answer.clone()),
        }
    }

    fn note(&self, tries: u32, reason: String, answer: Option<String>) -> Note {
        Note { tries, tried_at: self.clock.now().to_string(), reason, answer }
    }
}

fn kept(reason: String, answer: Option<String>) -> Tried {
    tracing::error!(%reason, "a delivery stays where it is");
    Tried::Kept { verdict: Verdict::Later { reason, retry_after: None }, answer }
}

fn no_answer(error: reqwest::Error) -> Answer {
    // The address is known, and makes the text long.
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Answer { verdict: Verdict::Away { reason }, text: None }
}

/// Reads an answer, up to a limit; what is beyond it is left out.
async fn read_bounded(mut response: Response) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
