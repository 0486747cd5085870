//! Defender's list of machine actions: asking for many at once, and reading the answer leniently.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::alert::{MachineAction, MachineActionId, MachineId, parse_time};

use super::http_client::Failure;
use super::is_success;
use super::outcome::{Answer, refusal, throttle_wait};
use super::token::TokenError;
use super::wire::text;

/// How many pages of a list are read; a page holds up to 10,000.
pub(super) const PAGES_MAX: usize = 20;

/// Which machine actions to list. Only typed values go into the filter, so there is nothing to escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListFilter {
    /// These, by id.
    Ids(Vec<MachineActionId>),
    /// Every StopAndQuarantineFile on these machines since then.
    OnMachines {
        /// The machines.
        machines: Vec<MachineId>,
        /// Made at or after this time.
        since: Timestamp,
    },
}

impl ListFilter {
    /// Returns the filter as OData.
    pub(super) fn to_odata(&self) -> String {
        let any = |name: &str, values: Vec<String>| {
            let terms: Vec<String> = values.into_iter().map(|value| format!("{name} eq '{value}'")).collect();
            terms.join(" or ")
        };
        match self {
            Self::Ids(ids) => any("id", ids.iter().map(ToString::to_string).collect()),
            Self::OnMachines { machines, since } => {
                let machines = any("machineId", machines.iter().map(ToString::to_string).collect());
                format!(
                    "type eq 'StopAndQuarantineFile' and creationDateTimeUtc ge {since:.0} and ({machines})"
                )
            }
        }
    }
}

/// Why the list could not be read whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
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
    #[error("Defender's limit for reading machine actions is reached: {why}")]
    Throttled {
        /// How long Defender asks to wait.
        wait: SignedDuration,
        /// What it said.
        why: String,
    },
    /// Not at all.
    #[error("Defender refused to list machine actions: {0}")]
    Refused(String),
    /// An answer that cannot be read.
    #[error("Defender's list of machine actions cannot be read: {0}")]
    Garbage(String),
    /// More pages than can be meant.
    #[error("Defender's list of machine actions does not end")]
    TooLong,
    /// The next page is somewhere else.
    #[error("Defender's list of machine actions continues on another host, which is not followed")]
    ForeignLink,
}

impl From<Failure> for ListError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(why) | Failure::Lost(why) => Self::NoAnswer(why),
        }
    }
}

/// One page of the list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) actions: Vec<MachineAction>,
    pub(super) next_link: Option<String>,
}

/// Reads one page.
///
/// A record without an id or a status makes the whole page unreadable: it might be the one that is looked
/// for.
pub(super) fn page(answer: &Answer, now: Timestamp) -> Result<Page, ListError> {
    if !is_success(answer.status) {
        let refusal = refusal(answer);
        return Err(match answer.status {
            401 => ListError::Unauthorized(refusal.to_string()),
            429 => ListError::Throttled {
                wait: throttle_wait(answer, &refusal.message, now),
                why: refusal.to_string(),
            },
            _ => ListError::Refused(refusal.to_string()),
        });
    }
    let body: Value =
        serde_json::from_slice(&answer.body).map_err(|error| ListError::Garbage(error.to_string()))?;
    let Some(items) = body.get("value").and_then(Value::as_array) else {
        return Err(ListError::Garbage("no value in it".to_owned()));
    };
    let actions: Option<Vec<_>> = items.iter().map(machine_action).collect();
    let actions = actions.ok_or(ListError::Garbage("a record without id or status".to_owned()))?;
    Ok(Page { actions, next_link: text(&body, "@odata.nextLink") })
}

fn machine_action(item: &Value) -> Option<MachineAction> {
    Some(MachineAction {
        id: text(item, "id")?,
        status: text(item, "status")?,
        machine_id: text(item, "machineId"),
        file: item.get("relatedFileInfo").and_then(|file| text(file, "fileIdentifier")),
        comment: text(item, "requestorComment"),
        requestor: text(item, "requestor"),
        created_at: text(item, "creationDateTimeUtc").and_then(|at| parse_time(&at)),
    })
}
