//! How a simulator behaves, where the real service is not known or not always the same.

use serde::{Deserialize, Serialize};

use super::limits::WindowKind;

/// The app roles that let a machine action be cancelled; any one will do (reference, defender-api 2). In 2021 it was another,
/// `Machine.CollectForensic`.
const CANCEL_ROLES: [&str; 7] = [
    "Machine.CollectForensics",
    "Machine.Isolate",
    "Machine.RestrictExecution",
    "Machine.Scan",
    "Machine.Offboard",
    "Machine.StopAndQuarantine",
    "Machine.LiveResponse",
];

/// How the simulator behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// Calls of each API a minute.
    pub per_minute: u32,
    /// Calls of each API an hour.
    pub per_hour: u32,
    /// How the windows move.
    pub window: WindowKind,
    /// What a second call for the same target is answered while the first is open.
    pub duplicate: DuplicateAnswer,
    /// What makes a call a second one.
    pub duplicate_key: DuplicateKey,
    /// How long after it was made an action is missing from lists and reads, in milliseconds.
    pub list_lag_ms: u32,
    /// How many records a page of a list holds.
    pub page_size: u32,
    /// When an action begins, in milliseconds after it was made.
    pub in_progress_after_ms: u32,
    /// When an action ends, in milliseconds after it was made.
    pub done_after_ms: u32,
    /// The app roles of which one is needed to cancel a machine action.
    pub cancel_roles: Vec<String>,
    /// Whether a cancel call is answered as if it had worked, and the machine action goes on.
    pub cancel_is_idle: bool,
    /// How long tokens live, in seconds.
    pub token_life_s: u32,
    /// The app roles in tokens for Defender.
    pub roles: Vec<String>,
    /// The app roles in tokens for Microsoft Graph.
    pub graph_roles: Vec<String>,
    /// How a filter must write a GUID.
    pub guid: GuidLiteral,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            per_minute: 100,
            per_hour: 1_500,
            window: WindowKind::Sliding,
            duplicate: DuplicateAnswer::BadRequest,
            duplicate_key: DuplicateKey::MachineAndFile,
            list_lag_ms: 0,
            page_size: 10_000,
            in_progress_after_ms: 4_000,
            done_after_ms: 26_000,
            cancel_roles: CANCEL_ROLES.map(ToOwned::to_owned).into(),
            cancel_is_idle: false,
            token_life_s: 3_599,
            roles: ["Machine.StopAndQuarantine", "Machine.Read.All", "File.Read.All"]
                .map(ToOwned::to_owned)
                .into(),
            graph_roles: vec!["SecurityAlert.Read.All".to_owned()],
            guid: GuidLiteral::Quoted,
        }
    }
}

/// How a filter must write a GUID; the other way is refused. Which is true is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidLiteral {
    /// In quotes.
    Quoted,
    /// Without.
    Bare,
}

/// What a second call is answered while the first is open. Both were seen (reference, defender-api 0.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateAnswer {
    /// 400 `ActiveRequestAlreadyExists`, without an id.
    BadRequest,
    /// 201 with the open action.
    OpenAction,
}

/// What makes a call a second one. Which is true is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKey {
    /// The same device.
    Machine,
    /// The same device and file.
    MachineAndFile,
}
