//! Defender's own record of an action on a machine.

use jiff::Timestamp;

use super::ids::MachineActionId;

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
