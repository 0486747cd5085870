//! What an answer of the bridge means for a delivery. Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::retry_time;

/// What came back from one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The bridge has it.
    Taken,
    /// No answer came, so the bridge may or may not have it: try again soon.
    Away {
        /// Why.
        reason: String,
    },
    /// The bridge has trouble: try again soon, not before `retry_after`.
    Later {
        /// What came back.
        reason: String,
        /// When the bridge asks to be tried again.
        retry_after: Option<Timestamp>,
    },
    /// Address or secret are wrong: a person can mend that, so try again now and then.
    Mend {
        /// What came back.
        reason: String,
    },
    /// The bridge will never take this body.
    Refused {
        /// What came back.
        reason: String,
    },
}

impl Verdict {
    /// What came of it, in words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Taken => "taken",
            Self::Away { reason }
            | Self::Later { reason, .. }
            | Self::Mend { reason }
            | Self::Refused { reason } => reason,
        }
    }
}

/// Classifies an answer by its status and body.
///
/// A 2xx or a refusal for good counts only if it is the bridge's: a proxy's page in its place would lose the
/// alert, or set it aside.
pub fn classify(status: u16, retry_after: Option<&str>, body: &[u8], now: Timestamp) -> Verdict {
    let reason = format!("HTTP {status}");
    match status {
        200..=299 if names_a_delivery(body) => Verdict::Taken,
        200..=299 => {
            Verdict::Mend { reason: format!("{reason}, but not from a bridge: compare the address") }
        }
        408 | 429 | 500..=599 => {
            Verdict::Later { reason, retry_after: retry_after.and_then(|text| retry_time(text, now)) }
        }
        400 | 409 | 413 | 415 | 422 if is_problem(body) => Verdict::Refused { reason },
        400 | 409 | 413 | 415 | 422 => Verdict::Mend { reason: format!("{reason}, but not from a bridge") },
        _ => Verdict::Mend { reason },
    }
}

fn names_a_delivery(body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("delivery_id").is_some_and(Value::is_string))
}

/// Says whether a body is one of the bridge's problems (RFC 9457).
fn is_problem(body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let kind = body.as_ref().and_then(|body| body.get("type")).and_then(Value::as_str);
    kind.is_some_and(|kind| kind.starts_with("urn:quarantine-bridge:problem:"))
}
