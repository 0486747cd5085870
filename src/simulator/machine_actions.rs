//! Simulated machine actions and how they go from Pending to their end.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::{NoContext, Uuid};

use crate::alert::after;

use super::quarantine::CALLER;
use super::world::Machine;

/// A machine action of the simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedAction {
    /// Its id.
    pub id: String,
    /// The device.
    pub machine_id: String,
    /// The file.
    pub sha1: String,
    /// The caller's comment.
    pub comment: String,
    /// When it was made.
    pub created_at: Timestamp,
    requestor: String,
    dns_name: String,
    is_offline: bool,
    ends_as: String,
    cancelled: Option<CancelledBy>,
}

/// Who cancelled a machine action, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CancelledBy {
    at: Timestamp,
    comment: String,
}

/// How long an action takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Until the device begins.
    pub(super) in_progress_after: SignedDuration,
    /// Until it is done.
    pub(super) done_after: SignedDuration,
}

impl SimulatedAction {
    /// Returns its status at a time.
    pub(super) fn status(&self, pace: Pace, now: Timestamp) -> &str {
        if self.cancelled.is_some() {
            "Cancelled"
        } else if self.is_offline || now < after(self.created_at, pace.in_progress_after) {
            "Pending"
        } else if now < after(self.created_at, pace.done_after) {
            "InProgress"
        } else {
            &self.ends_as
        }
    }

    /// Says whether it is not over yet.
    pub(super) fn is_open(&self, pace: Pace, now: Timestamp) -> bool {
        matches!(self.status(pace, now), "Pending" | "InProgress")
    }

    /// Returns the record as Defender writes it, with the fields that real answers have.
    pub(super) fn to_json(&self, pace: Pace, now: Timestamp) -> Value {
        let status = self.status(pace, now);
        let cancelled = self.cancelled.as_ref();
        let updated = match status {
            "Pending" => self.created_at,
            "InProgress" => after(self.created_at, pace.in_progress_after),
            _ => cancelled.map_or(after(self.created_at, pace.done_after), |it| it.at),
        };
        json!({
            "id": self.id, "type": "StopAndQuarantineFile", "title": null, "requestor": self.requestor,
            "requestorComment": self.comment, "status": status, "machineId": self.machine_id,
            "computerDnsName": self.dns_name, "creationDateTimeUtc": format!("{:.7}", self.created_at),
            "lastUpdateDateTimeUtc": format!("{updated:.7}"),
            "cancellationRequestor": cancelled.map(|_| CALLER),
            "cancellationComment": cancelled.map(|it| it.comment.as_str()),
            "cancellationDateTimeUtc": cancelled.map(|it| format!("{:.7}", it.at)),
            "errorHResult": if status == "Failed" { -2_147_024_894 } else { 0 }, "scope": null, "externalId": null,
            "requestSource": "PublicApi",
            "relatedFileInfo": {"fileIdentifier": self.sha1, "fileIdentifierType": "Sha1"},
            "commands": [], "troubleshootInfo": null,
        })
    }
}

/// All machine actions, oldest first.
#[derive(Debug, Clone, Default)]
pub struct MachineActions(Vec<SimulatedAction>);

impl MachineActions {
    /// All of them.
    pub fn all(&self) -> &[SimulatedAction] {
        &self.0
    }

    /// All of them, to change what Defender says of them.
    pub fn all_mut(&mut self) -> &mut [SimulatedAction] {
        &mut self.0
    }

    pub(super) fn find(&self, id: &str) -> Option<&SimulatedAction> {
        self.0.iter().find(|action| action.id == id)
    }

    /// Makes a new one.
    pub(super) fn add(
        &mut self,
        machine: &Machine,
        sha1: &str,
        (requestor, comment): (&str, &str),
        now: Timestamp,
    ) -> SimulatedAction {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let action = SimulatedAction {
            id: Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, 0)).to_string(),
            machine_id: machine.id.clone(),
            sha1: sha1.to_owned(),
            comment: comment.to_owned(),
            created_at: now,
            requestor: requestor.to_owned(),
            dns_name: machine.dns_name.clone(),
            is_offline: machine.is_offline,
            ends_as: machine.ends_as.clone(),
            cancelled: None,
        };
        self.0.push(action.clone());
        action
    }

    /// Cancels an action, unless it is over already or unknown.
    pub(super) fn cancel(&mut self, id: &str, comment: &str, (pace, now): (Pace, Timestamp)) {
        if let Some(open) = self.0.iter_mut().find(|action| action.id == id && action.is_open(pace, now)) {
            open.cancelled = Some(CancelledBy { at: now, comment: comment.to_owned() });
        }
    }
}
