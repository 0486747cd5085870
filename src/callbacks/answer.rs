//! What an answer of a callback means for a message, and when to send it again. Pure.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::alert::after;
use crate::store::Sent;

const SECONDS: i64 = 1;
const MINUTES: i64 = 60;
const HOURS: i64 = 3_600;

/// How long to wait after the first failure, the second, and so on (reference, webhook-signing D): three days and a half in all.
const WAITS: [i64; 9] = [
    5 * SECONDS,
    5 * MINUTES,
    30 * MINUTES,
    2 * HOURS,
    5 * HOURS,
    10 * HOURS,
    14 * HOURS,
    20 * HOURS,
    24 * HOURS,
];

/// How often a message is sent before it is given up.
pub const ATTEMPTS_MAX: usize = WAITS.len().saturating_add(1);

/// The longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The longest reason that is kept.
const WHY_CHARS_MAX: usize = 300;

/// What came back for one sending of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An answer.
    Status {
        /// HTTP status.
        status: u16,
        /// When it asks to be tried again.
        retry_after: Option<Timestamp>,
    },
    /// The address leads where nothing is sent.
    Refused(String),
    /// No answer in time.
    Timeout(String),
    /// No connection, or one that broke.
    Unreachable(String),
    /// The message cannot be written down as a request.
    Unsendable(String),
}

impl Answer {
    /// HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What came back, in words. Some of them may be the other side's, such as the names in its certificate.
    pub fn told(&self) -> String {
        match self {
            Self::Status { status, .. } => format!("HTTP {status}"),
            Self::Refused(why) | Self::Timeout(why) | Self::Unreachable(why) | Self::Unsendable(why) => {
                why.chars().take(WHY_CHARS_MAX).collect()
            }
        }
    }

    /// One word for the metric.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Status { status: 200..=299, .. } => "delivered",
            Self::Status { status: 410, .. } => "gone",
            Self::Status { status: 300..=399, .. } => "redirect",
            Self::Status { status: 400..=499, .. } => "client_error",
            Self::Status { .. } => "server_error",
            Self::Refused(_) => "address",
            Self::Timeout(_) => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Unsendable(_) => "unsendable",
        }
    }
}

/// Says what becomes of a message that was sent in vain so often before.
///
/// 2xx is a yes, 410 means that the callback wants nothing any more, and all else may mend itself: a redirect is not followed, for
/// who answers must not choose where the next message goes.
pub fn judge(answer: &Answer, id: &str, failures: u32, now: Timestamp) -> Sent {
    let asked = match answer {
        Answer::Status { status: 200..=299, .. } => return Sent::Delivered,
        Answer::Status { status: 410, .. } => return Sent::Gone,
        Answer::Status { retry_after, .. } => *retry_after,
        _ => None,
    };
    let wait = usize::try_from(failures).ok().and_then(|failures| WAITS.get(failures));
    let Some(wait) = wait else {
        return Sent::Dead;
    };
    let wait =
        SignedDuration::from_millis(wait.saturating_mul(1_000).saturating_add(share(*wait, id, failures)));
    let asked = asked.map_or(SignedDuration::ZERO, |at| at.duration_since(now).min(RETRY_AFTER_MAX));
    Sent::Again(after(now, wait.max(asked)))
}

/// Up to a tenth of a wait of so many seconds, in milliseconds: messages that failed together come back apart. Chance is made of the
/// message itself.
fn share(wait: i64, id: &str, failures: u32) -> i64 {
    let digest = Sha256::new().chain_update(id).chain_update(failures.to_be_bytes()).finalize();
    let chance = digest.first().copied().unwrap_or_default();
    wait.saturating_mul(100).saturating_mul(i64::from(chance)).checked_div(256).unwrap_or_default()
}
