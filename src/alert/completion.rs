//! What a person added to an action that could not be resolved.

use jiff::Timestamp;

use super::hashes::{MachineId, Sha1};
use super::who::Who;

/// What a person added to an action that could not be resolved. With neither, it is only to be looked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Which device it is.
    pub machine_id: Option<MachineId>,
    /// Which file it is.
    pub sha1: Option<Sha1>,
    /// Who says so.
    pub by: Who,
    /// When.
    pub at: Timestamp,
}
