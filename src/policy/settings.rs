//! How the guards of a source are set. The defaults are those of the reference (safety, 3.1 to 3.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::alert::Severity;

use super::HOLD_LIMIT;
use super::freeze::Freeze;
use super::guard::Guard;
use super::limits::{Limit, default_limits};
use super::protect::{ProtectedDevice, ProtectedFiles, built_in_devices};

/// What a guard says when it does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum No {
    /// A person must approve.
    Hold,
    /// It is not done.
    Deny,
}

/// How one guard is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// What it says when it does not pass; `None` if it is off.
    pub no: Option<No>,
    /// How many persons must approve what it holds: 1 or 2.
    pub approvers: u8,
}

impl Switch {
    fn usual(guard: Guard) -> Self {
        let no = match guard {
            Guard::ProtectedDevice
            | Guard::ProtectedFile
            | Guard::MicrosoftSigned
            | Guard::TrustedPublisher
            | Guard::Undone => No::Deny,
            Guard::Source
            | Guard::Severity
            | Guard::Age
            | Guard::Target
            | Guard::Targets
            | Guard::Os
            | Guard::DeviceState
            | Guard::Determination
            | Guard::Prevalence
            | Guard::SeenOnDevice
            | Guard::CoolDown
            | Guard::ChangeFreeze
            | Guard::BlastRadius
            | Guard::BlastBreaker
            | Guard::FirstActions
            | Guard::Mode => No::Hold,
        };
        let is_four_eyes =
            matches!(guard, Guard::ProtectedDevice | Guard::ProtectedFile | Guard::BlastRadius);
        Self { no: Some(no), approvers: if is_four_eyes { 2 } else { 1 } }
    }
}

/// What is said of a device by its system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OsRule {
    /// Of Windows Server; `None` lets it pass.
    pub server: Option<No>,
    /// Of every other system than Windows 10 from 1703 on and Windows 11.
    pub other: No,
}

/// How many devices a file may have been seen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrevalenceRule {
    /// From so many devices of the organisation on it is held.
    pub organisation_hold: u64,
    /// From so many on it is denied.
    pub organisation_deny: u64,
    /// From so many devices of the world on it is held.
    pub global_hold: u64,
    /// From so many on it is denied, if that is wanted.
    pub global_deny: Option<u64>,
}

/// How the guards of one source are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guards {
    /// Each guard that is not set as usual.
    pub switches: BTreeMap<Guard, Switch>,
    /// How long what Defender says is believed, when decided and when sent.
    pub facts_max_age: SignedDuration,
    /// The severities that may be acted on; empty for all from the floor on.
    pub severities: Vec<Severity>,
    /// How many pairs one alert may name.
    pub max_targets: u32,
    /// By the device's system.
    pub os: OsRule,
    /// How long ago the device may have been seen last.
    pub last_seen_max: SignedDuration,
    /// The devices that are protected.
    pub protected_devices: Arc<Vec<ProtectedDevice>>,
    /// The files that are never quarantined.
    pub protected_files: Arc<ProtectedFiles>,
    /// Signers whose files are left alone if their certificate is valid.
    pub trusted_publishers: Vec<String>,
    /// Defender's words for files that are not bad.
    pub clean_determinations: Vec<String>,
    /// How widely a file may be spread.
    pub prevalence: PrevalenceRule,
    /// How long after a quarantine the same file on the same device is not simply quarantined again.
    pub cool_down: SignedDuration,
    /// When nothing is sent without a person.
    pub freezes: Arc<Vec<Freeze>>,
    /// How much may be done in a while.
    pub limits: Arc<Vec<Limit>>,
    /// How many actions of a new source a person must approve.
    pub first_actions: u32,
    /// How long what is held waits for a person; then it has been refused by silence.
    pub hold_limit: SignedDuration,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            switches: BTreeMap::new(),
            facts_max_age: SignedDuration::from_mins(10),
            severities: Vec::new(),
            max_targets: 5,
            os: OsRule { server: Some(No::Hold), other: No::Deny },
            last_seen_max: SignedDuration::from_hours(7 * 24),
            protected_devices: Arc::new(built_in_devices()),
            protected_files: Arc::default(),
            trusted_publishers: Vec::new(),
            clean_determinations: vec!["Clean".to_owned()],
            prevalence: PrevalenceRule {
                organisation_hold: 25,
                organisation_deny: 1_000,
                global_hold: 10_000,
                global_deny: None,
            },
            cool_down: SignedDuration::from_hours(24),
            freezes: Arc::default(),
            limits: Arc::new(default_limits()),
            first_actions: 10,
            hold_limit: HOLD_LIMIT,
        }
    }
}

/// Which of Defender's answers the guards that are on look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// The record of the device.
    Device,
    /// The record of the file.
    File,
    /// How widely the file is spread.
    Prevalence,
    /// The devices on which the file was seen.
    Sightings,
}

impl Need {
    /// All, in the order in which they are asked for.
    pub const ALL: [Self; 4] = [Self::Device, Self::File, Self::Prevalence, Self::Sightings];
}

impl Guards {
    /// Returns how a guard is set.
    pub fn switch(&self, guard: Guard) -> Switch {
        self.switches.get(&guard).copied().unwrap_or(Switch::usual(guard))
    }

    /// Says whether a guard is on.
    pub fn is_on(&self, guard: Guard) -> bool {
        self.switch(guard).no.is_some()
    }

    /// Sets what a guard says when it does not pass; `None` switches it off.
    pub fn set(&mut self, guard: Guard, no: Option<No>) {
        self.put(guard, Switch { no, ..self.switch(guard) });
    }

    /// Sets how many persons must approve what a guard holds.
    pub fn set_approvers(&mut self, guard: Guard, approvers: u8) {
        self.put(guard, Switch { approvers, ..self.switch(guard) });
    }

    fn put(&mut self, guard: Guard, switch: Switch) {
        if switch == Switch::usual(guard) {
            self.switches.remove(&guard);
        } else {
            self.switches.insert(guard, switch);
        }
    }

    /// Says whether an answer of Defender is needed.
    pub fn needs(&self, need: Need) -> bool {
        let on = |guard| self.is_on(guard);
        match need {
            Need::Device => {
                on(Guard::Os)
                    || on(Guard::DeviceState)
                    || on(Guard::ProtectedDevice) && !self.protected_devices.is_empty()
            }
            Need::File => {
                on(Guard::MicrosoftSigned)
                    || on(Guard::Determination)
                    || on(Guard::TrustedPublisher) && !self.trusted_publishers.is_empty()
            }
            Need::Prevalence => on(Guard::Prevalence),
            Need::Sightings => on(Guard::SeenOnDevice),
        }
    }
}
