//! Defender's own record of an action on a machine.

use jiff::Timestamp;

use super::entity::Target;
use super::hashes::{MachineId, Sha1};
use super::ids::MachineActionId;
use super::state::State;

/// Defender's record of an action on a machine. Texts are as Defender wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineAction {
    /// Its id.
    pub id: String,
    /// One of Defender's words: `Pending`, `InProgress`, `Succeeded`, `Failed`, `TimeOut`, `Cancelled`, or
    /// what may come.
    pub status: String,
    /// The device.
    pub machine_id: Option<String>,
    /// The hash of the file.
    pub file: Option<String>,
    /// The comment of whoever asked for it.
    pub comment: Option<String>,
    /// Who asked for it.
    pub requestor: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

impl MachineAction {
    /// Says whether it names another device or another file than this. What it does not name, or what is no id and no SHA1, is
    /// not known to be another.
    pub fn is_about_another(&self, target: Target) -> bool {
        let machine: Option<MachineId> = self.machine_id.as_deref().and_then(|id| id.parse().ok());
        let file: Option<Sha1> = self.file.as_deref().and_then(|hash| hash.parse().ok());
        machine.is_some_and(|id| id != target.machine_id) || file.is_some_and(|sha1| sha1 != target.sha1)
    }
}

/// What we keep of the machine action that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineActionRef {
    /// Its id there.
    pub id: MachineActionId,
    /// Its status there, verbatim, when it was last read.
    pub status: String,
    /// When Defender made it, as far as is known.
    pub since: Timestamp,
}

impl MachineActionRef {
    /// Says whether it may still act, as far as is known: Defender has named no end of it.
    pub fn may_still_act(&self) -> bool {
        end_of(&self.status).is_none()
    }
}

/// Returns the end that a status of Defender means; an unknown status is no end.
pub fn end_of(status: &str) -> Option<State> {
    let ends = [
        ("Succeeded", State::Succeeded),
        ("Failed", State::Failed),
        ("TimeOut", State::TimedOut),
        ("TimedOut", State::TimedOut),
        ("Cancelled", State::Cancelled),
        ("Canceled", State::Cancelled),
    ];
    ends.into_iter().find(|(word, _)| status.eq_ignore_ascii_case(word)).map(|(_, state)| state)
}

/// Somebody else's machine action that does what ours would have done. Texts are as Defender wrote them, shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupersededBy {
    /// Its id.
    pub machine_action_id: String,
    /// Who asked for it, if Defender says.
    pub requestor: Option<String>,
    /// Its status when it was found.
    pub status: String,
}

impl SupersededBy {
    /// Keeps what names a machine action.
    pub fn new(record: &MachineAction) -> Self {
        let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        Self {
            machine_action_id: short(&record.id),
            requestor: record.requestor.as_deref().map(short),
            status: short(&record.status),
        }
    }
}
