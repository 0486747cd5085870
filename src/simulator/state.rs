//! All that a simulator knows: its world, its switches, its log.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::clock::Clock;

use super::credentials::{AUDIENCES, Credentials};
use super::faults::{FaultKind, Faults, Place};
use super::graph;
use super::issuer::IssuerKey;
use super::limits::Limits;
use super::machine_actions::{MachineActions, Pace};
use super::refusals::No;
use super::switches::Switches;
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
    pub(super) issuer_key: IssuerKey,
    pub(super) quarantine_limits: Limits,
    pub(super) list_limits: Limits,
    pub(super) cancel_limits: Limits,
    pub(super) machine_limits: Limits,
    pub(super) file_limits: Limits,
    pub(super) file_stats_limits: Limits,
    pub(super) file_machines_limits: Limits,
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
            issuer_key: IssuerKey::default(),
            quarantine_limits: Limits::default(),
            list_limits: Limits::default(),
            cancel_limits: Limits::default(),
            machine_limits: Limits::default(),
            file_limits: Limits::default(),
            file_stats_limits: Limits::default(),
            file_machines_limits: Limits::default(),
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
        if place == Place::Alerts {
            return graph::admit(self, authorization);
        }
        let roles = self.credentials.roles_of(authorization, &AUDIENCES, self.now());
        let roles = roles.ok_or_else(No::unauthorized)?;
        let has = |role: &str| roles.iter().any(|have| have == role);
        if matches!(place, Place::Files | Place::FileStats) {
            if !has("File.Read.All") {
                return Err(No::missing_role("File.Read.All", &roles));
            }
        } else if place == Place::Cancel {
            if !self.switches.cancel_roles.iter().any(|role| has(role)) {
                return Err(No::missing_role(&self.switches.cancel_roles.join(","), &roles));
            }
        } else if !has("Machine.Read.All") && !has("Machine.ReadWrite.All") {
            return Err(No::missing_role("Machine.Read.All,Machine.ReadWrite.All", &roles));
        }
        if place == Place::Quarantine && !has("Machine.StopAndQuarantine") {
            return Err(No::missing_role("Machine.StopAndQuarantine", &roles));
        }
        let (now, window) = (self.now(), self.switches.window);
        let each = [self.switches.per_minute, self.switches.per_hour];
        let limits = match place {
            Place::Quarantine => &mut self.quarantine_limits,
            Place::Cancel => &mut self.cancel_limits,
            Place::Machines => &mut self.machine_limits,
            Place::Files => &mut self.file_limits,
            Place::FileStats => &mut self.file_stats_limits,
            Place::FileMachines => &mut self.file_machines_limits,
            Place::MachineActions | Place::Token | Place::Alerts => &mut self.list_limits,
        };
        limits.take(window, each, now).map_err(|throttled| {
            No::throttled("429", &throttled.message(), Some(throttled.retry_after.to_string()))
        })
    }

    /// Returns the no of a fault that says one.
    pub(super) fn fault_no(place: Place, kind: &FaultKind, (machine, sha1): &(String, String)) -> Option<No> {
        if place == Place::Alerts {
            return graph::fault_no(kind);
        }
        match kind {
            FaultKind::Unauthorized => Some(No::unauthorized()),
            FaultKind::Forbidden2021 => Some(No::forbidden_2021()),
            FaultKind::Forbidden2023 if place == Place::Cancel => {
                Some(No::missing_role("Machine.CollectForensics", &[]))
            }
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
