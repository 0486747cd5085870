//! Where an answer takes the fetch of an alert. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::after;

use super::Given;

/// How long Graph may say that it does not have an alert that it has told of: its replicas need some time.
const REPLICATION: SignedDuration = SignedDuration::from_mins(10);

/// How soon Graph is asked again after it did not allow it: a person must grant something first.
const AFTER_FORBIDDEN: SignedDuration = SignedDuration::from_secs(60);

/// The longest wait between two tries.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// Where a fetch goes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Graph is asked again.
    Again {
        /// After how long.
        wait: SignedDuration,
        /// Why.
        why: String,
    },
    /// The same, and no other alert is asked for before.
    Pause {
        /// For how long.
        wait: SignedDuration,
        /// Why.
        why: String,
    },
    /// It is given up.
    Fail {
        /// Why.
        why: String,
    },
}

/// Returns the step after an answer that is not an alert; `None` after one that is.
///
/// `wanted_at` is when the alert was referred to, `failures` how many tries have failed, this one included.
pub fn next(given: &Given, wanted_at: Timestamp, failures: u32, now: Timestamp) -> Option<Step> {
    let wait = after_failures(failures);
    Some(match given {
        Given::Alert(_) => return None,
        Given::Missing(why) if now >= after(wanted_at, REPLICATION) => {
            let minutes = REPLICATION.as_mins();
            Step::Fail { why: format!("Graph did not have the alert for {minutes} minutes: {why}") }
        }
        Given::Missing(why) => Step::Again { wait, why: format!("Graph does not have the alert yet: {why}") },
        Given::Unauthorized(why) => {
            let why = format!("Graph did not take a new token ({why}): check graph.scope and graph.api_url");
            Step::Pause { wait, why }
        }
        Given::Forbidden(why) => {
            let why = format!(
                "Graph did not allow it ({why}): the app registration needs the application permission \
                 SecurityAlert.Read.All of Microsoft Graph, with admin consent"
            );
            Step::Again { wait: AFTER_FORBIDDEN, why }
        }
        Given::Throttled { wait, why } => {
            Step::Pause { wait: *wait, why: format!("Graph's limit is reached: {why}") }
        }
        Given::Refused(why) => Step::Fail { why: format!("Graph refused: {why}") },
        Given::Unreachable(why) => Step::Again { wait, why: format!("Graph did not answer: {why}") },
    })
}

/// Returns the wait after so many failures in a row: 1, 2, 4 ... 60 s.
pub(super) fn after_failures(failures: u32) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(6);
    SignedDuration::from_secs(1_i64.checked_shl(doublings).unwrap_or(60)).min(LONGEST)
}
