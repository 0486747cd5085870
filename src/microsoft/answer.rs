//! An answer of one of Microsoft's APIs, and what it says when it says no. Pure.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::alert::{Refusal, retry_time};

/// The longest message that is kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// Waited when an answer says 429 and not how long.
const THROTTLE_DEFAULT: SignedDuration = SignedDuration::from_secs(60);

/// The longest wait that is believed: the longest window of the API.
const THROTTLE_MAX: SignedDuration = SignedDuration::from_hours(1);

/// An answer, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Value of the `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body's bytes.
    pub body: Bytes,
}

/// Says whether an answer's status is one of success.
pub(crate) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Reads the no of an answer.
pub fn refusal(answer: &Answer) -> Refusal {
    let ErrorText { code, message, target } = error_text(&answer.body);
    Refusal { status: answer.status, code, message, correlation_id: target }
}

/// How long an answer asks to wait: its header, else the period in its message, else a minute.
pub fn throttle_wait(answer: &Answer, message: &str, now: Timestamp) -> SignedDuration {
    let header = answer.retry_after.as_deref().and_then(|value| retry_time(value, now));
    let header = header.map(|at| at.duration_since(now));
    let wait = header.or_else(|| period(message)).unwrap_or(THROTTLE_DEFAULT);
    wait.clamp(SignedDuration::from_secs(1), THROTTLE_MAX)
}

/// Reads the period at the end of `... maximum allowed 45 per 00:01:00`.
fn period(message: &str) -> Option<SignedDuration> {
    let (_, period) = message.rsplit_once(" per ")?;
    let mut parts = period.trim().splitn(3, ':').map(str::parse::<i64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    Some(SignedDuration::from_secs(minutes.checked_mul(60)?.checked_add(seconds)?))
}

/// The words of an error answer, whichever of its envelopes it came in.
#[derive(Debug, Default)]
struct ErrorText {
    code: String,
    message: String,
    target: Option<String>,
}

/// Reads an error answer: Defender's, Graph's, OData's, the gateway's, or none of them.
fn error_text(body: &[u8]) -> ErrorText {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = answer.get("error").unwrap_or(&answer);
    ErrorText {
        code: text(error, "code").unwrap_or_default(),
        message: text(error, "message").map(|message| plain(&message)).unwrap_or_default(),
        target: text(error, "target").or_else(|| text(error.get("innerError")?, "request-id")),
    }
}

/// Returns a field as text, if it is there and a text or a number.
pub(crate) fn text(object: &Value, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Makes a message fit for a log line: one line, bounded.
pub(crate) fn plain(message: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    message.chars().map(printable).take(MESSAGE_CHARS_MAX).collect()
}
