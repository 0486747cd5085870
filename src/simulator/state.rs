//! All that a simulator knows: its world, its switches, its log.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Clock;

use super::entra::Credentials;
use super::faults::{FaultKind, Faults, Place};
use super::limits::{Limits, WindowKind};
use super::machine_actions::{MachineActions, Pace};
use super::refusals::No;
use super::world::World;

/// How many calls the log keeps.
const CALLS_MAX: usize = 200_000;

/// The simulator's state.
#[derive(Debug)]
pub struct State {
    /// The clock that it lives by.
    pub clock: Clock,
    /// Who may get a token.
    pub credentials: Credentials,
    /// The tenant.
    pub world: World,
    /// How it behaves.
    pub switches: Switches,
    /// Faults that wait for their calls.
    pub faults: Faults,
    /// Every call, oldest first.
    pub calls: Vec<CallRecord>,
    /// Every machine action, oldest first.
    pub actions: MachineActions,
    pub(super) quarantine_limits: Limits,
    pub(super) list_limits: Limits,
    pub(super) machine_limits: Limits,
}

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
    /// How long tokens live, in seconds.
    pub token_life_s: u32,
    /// The app roles in tokens.
    pub roles: Vec<String>,
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
            token_life_s: 3_599,
            roles: vec!["Machine.StopAndQuarantine".to_owned(), "Machine.Read.All".to_owned()],
        }
    }
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

/// One call, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// When.
    pub at: String,
    /// HTTP method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Body as JSON, null if there was none.
    pub body: Value,
    /// Status that was answered; 0 if the connection was dropped.
    pub status: u16,
}

impl State {
    pub(super) fn new(clock: Clock, credentials: Credentials, world: World) -> Self {
        Self {
            clock,
            credentials,
            world,
            switches: Switches::default(),
            faults: Faults::default(),
            calls: Vec::new(),
            actions: MachineActions::default(),
            quarantine_limits: Limits::default(),
            list_limits: Limits::default(),
            machine_limits: Limits::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn pace(&self) -> Pace {
        let ms = |ms: u32| SignedDuration::from_millis(i64::from(ms));
        Pace {
            in_progress_after: ms(self.switches.in_progress_after_ms),
            done_after: ms(self.switches.done_after_ms),
        }
    }

    pub(super) fn record(&mut self, call: CallRecord) {
        if self.calls.len() < CALLS_MAX {
            self.calls.push(call);
        }
    }

    /// Checks what every call of the API must have: a good token, its roles, and room in the windows.
    pub(super) fn admit(&mut self, place: Place, authorization: Option<&str>) -> Result<(), No> {
        let roles = self.credentials.roles_of(authorization, self.now()).ok_or_else(No::unauthorized)?;
        let has = |role: &str| roles.iter().any(|have| have == role);
        if !has("Machine.Read.All") && !has("Machine.ReadWrite.All") {
            return Err(No::missing_role("Machine.Read.All,Machine.ReadWrite.All", &roles));
        }
        if place == Place::Quarantine && !has("Machine.StopAndQuarantine") {
            return Err(No::missing_role("Machine.StopAndQuarantine", &roles));
        }
        let (now, window) = (self.now(), self.switches.window);
        let each = [self.switches.per_minute, self.switches.per_hour];
        let limits = match place {
            Place::Quarantine => &mut self.quarantine_limits,
            Place::Machines => &mut self.machine_limits,
            Place::MachineActions | Place::Token => &mut self.list_limits,
        };
        limits.take(window, each, now).map_err(|throttled| {
            No::throttled("429", &throttled.message(), Some(throttled.retry_after.to_string()))
        })
    }

    /// Returns the no of a fault that says one.
    pub(super) fn fault_no(kind: &FaultKind, machine: &str, sha1: &str) -> Option<No> {
        match kind {
            FaultKind::Unauthorized => Some(No::unauthorized()),
            FaultKind::Forbidden2021 => Some(No::forbidden_2021()),
            FaultKind::Forbidden2023 => Some(No::missing_role("Machine.StopAndQuarantine", &[])),
            FaultKind::MachineNotFound => Some(No::machine_not_found(machine)),
            FaultKind::FileNotFound => Some(No::file_not_found(sha1, machine)),
            FaultKind::Throttled { retry_after, code } => {
                let message = "API calls quota exceeded! maximum allowed 100 per 00:01:00";
                Some(No::throttled(code, message, retry_after.clone()))
            }
            _ => None,
        }
    }
}
