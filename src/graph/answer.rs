//! Says what an answer of Microsoft Graph means for the alert that was asked for. Pure.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::microsoft::{Answer, is_success, refusal, throttle_wait};

/// What Graph gave when it was asked for an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The alert, as it came.
    Alert(Bytes),
    /// It does not have it, or not yet.
    Missing(String),
    /// It did not take the token, nor a new one.
    Unauthorized(String),
    /// The token does not allow it.
    Forbidden(String),
    /// Not so often.
    Throttled {
        /// How long it asks to wait.
        wait: SignedDuration,
        /// What it said.
        why: String,
    },
    /// Not this question, whoever asks and whenever; or an answer that is not taken here.
    Refused(String),
    /// Not now, or no answer came.
    Unreachable(String),
}

/// Classifies an answer.
pub fn given(answer: Answer, now: Timestamp) -> Given {
    if is_success(answer.status) {
        return Given::Alert(answer.body);
    }
    let refusal = refusal(&answer);
    let why = refusal.to_string();
    match answer.status {
        401 => Given::Unauthorized(why),
        403 => Given::Forbidden(why),
        404 => Given::Missing(why),
        429 => Given::Throttled { wait: throttle_wait(&answer, &refusal.message, now), why },
        408 | 409 | 423 | 425 => Given::Unreachable(why),
        400..=499 => Given::Refused(why),
        // 3xx too: a redirect is not followed, for the token would go where it leads.
        _ => Given::Unreachable(why),
    }
}
