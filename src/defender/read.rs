//! Reads of Defender: one record or a list of pages, and why they fail.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::microsoft::{Answer, Failure, TokenError, is_success, refusal, text, throttle_wait};

/// Why something could not be read, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No answer.
    #[error("Defender did not answer: {0}")]
    NoAnswer(String),
    /// Not with this token.
    #[error("Defender did not take the token: {0}")]
    Unauthorized(String),
    /// Not so often.
    #[error("Defender's limit for reading is reached: {why}")]
    Throttled {
        /// How long Defender asks to wait.
        wait: SignedDuration,
        /// What it said.
        why: String,
    },
    /// There is none.
    #[error("Defender has nothing of that id: {0}")]
    NotFound(String),
    /// Not with the roles of this token.
    #[error("Defender does not allow it: {0}")]
    Forbidden(String),
    /// Not this question.
    #[error("Defender refused the question: {0}")]
    BadRequest(String),
    /// Not now, for a reason of its own.
    #[error("Defender did not read it: {0}")]
    Refused(String),
    /// An answer that cannot be read.
    #[error("Defender's answer cannot be read: {0}")]
    Garbage(String),
    /// More pages than can be meant.
    #[error("Defender's list does not end")]
    TooLong,
    /// The next page is somewhere else.
    #[error("Defender's list continues on another host, which is not followed")]
    ForeignLink,
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::NoAnswer(failure.why())
    }
}

/// Returns the body of an answer, or why there is none.
pub(super) fn body(answer: &Answer, now: Timestamp) -> Result<Value, ReadError> {
    if is_success(answer.status) {
        return json(&answer.body);
    }
    let refusal = refusal(answer);
    let why = refusal.to_string();
    Err(match answer.status {
        400 => ReadError::BadRequest(why),
        401 => ReadError::Unauthorized(why),
        403 => ReadError::Forbidden(why),
        404 => ReadError::NotFound(why),
        429 => ReadError::Throttled { wait: throttle_wait(answer, &refusal.message, now), why },
        _ => ReadError::Refused(why),
    })
}

fn json(body: &Bytes) -> Result<Value, ReadError> {
    serde_json::from_slice(body).map_err(|error| ReadError::Garbage(error.to_string()))
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) next_link: Option<String>,
}

/// Reads one page.
pub(super) fn page(answer: &Answer, now: Timestamp) -> Result<Page, ReadError> {
    let mut body = body(answer, now)?;
    let next_link = text(&body, "@odata.nextLink");
    match body.get_mut("value").map(Value::take) {
        Some(Value::Array(items)) => Ok(Page { items, next_link }),
        _ => Err(ReadError::Garbage("no value in it".to_owned())),
    }
}
