//! Says what an answer of Defender means for an action. Pure.
//!
//! The table is in reference/defender-api.md, section 1.4. The HTTP status decides first; the body is read
//! leniently.

use bytes::Bytes;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::alert::{MachineActionRef, Outcome, Refusal, parse_time};

use super::is_success;
use super::wire::{ErrorText, error_text, text};

/// Waited when Defender says 429 and not how long.
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

/// Classifies the answer to a quarantine call.
pub fn classify(answer: &Answer, now: Timestamp) -> Outcome {
    let status = answer.status;
    if is_success(status) {
        return accepted(answer, now);
    }
    let refusal = refusal(answer);
    match status {
        401 => Outcome::Unauthorized(refusal),
        429 => Outcome::Throttled { wait: throttle_wait(answer, &refusal.message, now), refusal },
        400 if says_active_request(&refusal) => Outcome::ActiveRequest(refusal),
        // Never seen from this API, and none of them proves that nothing happened.
        408 | 409 | 423 | 425 => unknown(&refusal),
        400..=499 => Outcome::Refused(refusal),
        _ => unknown(&refusal),
    }
}

/// Reads Defender's no.
pub(super) fn refusal(answer: &Answer) -> Refusal {
    let ErrorText { code, message, target } = error_text(&answer.body);
    Refusal { status: answer.status, code, message, correlation_id: target }
}

/// How long Defender asks to wait: its header, else the period in its message, else a minute.
pub(super) fn throttle_wait(answer: &Answer, message: &str, now: Timestamp) -> SignedDuration {
    let header = answer.retry_after.as_deref().and_then(|value| retry_after(value, now));
    let wait = header.or_else(|| period(message)).unwrap_or(THROTTLE_DEFAULT);
    wait.clamp(SignedDuration::from_secs(1), THROTTLE_MAX)
}

fn accepted(answer: &Answer, now: Timestamp) -> Outcome {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let id = text(&body, "id").and_then(|id| id.parse().ok());
    let Some((id, status)) = id.zip(text(&body, "status")) else {
        let why = "Defender answered success without the id and status of a machine action";
        return Outcome::Unknown { why: why.to_owned(), status: Some(answer.status) };
    };
    let created = text(&body, "creationDateTimeUtc").and_then(|at| parse_time(&at));
    Outcome::Accepted(MachineActionRef { id, status, since: created.unwrap_or(now) })
}

fn unknown(refusal: &Refusal) -> Outcome {
    Outcome::Unknown { why: refusal.to_string(), status: Some(refusal.status) }
}

/// The code is documented for a sister action, the message is what was seen (reference 0.1).
fn says_active_request(refusal: &Refusal) -> bool {
    refusal.code.eq_ignore_ascii_case("ActiveRequestAlreadyExists")
        || refusal.message.to_ascii_lowercase().contains("already in progress")
}

/// Reads `Retry-After`: seconds, or a date of HTTP (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: Timestamp) -> Option<SignedDuration> {
    let value = value.trim();
    if value.bytes().all(|b| b.is_ascii_digit()) {
        // Digits that do not fit are a very long time.
        let seconds = value.parse().unwrap_or(THROTTLE_MAX.as_secs());
        return (!value.is_empty()).then(|| SignedDuration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(at.duration_since(now))
}

/// Reads the period at the end of `... maximum allowed 45 per 00:01:00`.
fn period(message: &str) -> Option<SignedDuration> {
    let (_, period) = message.rsplit_once(" per ")?;
    let mut parts = period.trim().splitn(3, ':').map(str::parse::<i64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    Some(SignedDuration::from_secs(minutes.checked_mul(60)?.checked_add(seconds)?))
}
