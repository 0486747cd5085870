//! Defender's list of machine actions: asking for many at once, and reading the answer leniently.

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{MachineAction, MachineActionId, MachineId, parse_time};

use super::read::ReadError;
use crate::microsoft::text;

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
    /// Every StopAndQuarantineFile made at or after this time.
    Since(Timestamp),
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
            Self::Since(since) => {
                format!("type eq 'StopAndQuarantineFile' and creationDateTimeUtc ge {since:.0}")
            }
            Self::OnMachines { machines, since } => {
                let machines = any("machineId", machines.iter().map(ToString::to_string).collect());
                format!(
                    "type eq 'StopAndQuarantineFile' and creationDateTimeUtc ge {since:.0} and ({machines})"
                )
            }
        }
    }
}

/// Reads the records of one page.
///
/// A record without an id or a status makes the whole page unreadable: it might be the one that is looked
/// for.
pub(super) fn records(items: &[Value]) -> Result<Vec<MachineAction>, ReadError> {
    let actions: Option<Vec<_>> = items.iter().map(machine_action).collect();
    actions.ok_or(ReadError::Garbage("a record without id or status".to_owned()))
}

/// Reads one record; none if it has no id or no status.
pub(super) fn machine_action(item: &Value) -> Option<MachineAction> {
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
