//! Puts files and devices together that an alert names without saying which file was on which device.
//!
//! The answer depends on what the alert names, never on the order. A file goes with the only device there is. Where there are
//! several, every file becomes one ambiguous pair, which a person completes, unless the source's configuration guarantees that
//! every file was on every device.

use std::num::NonZeroUsize;

use crate::alert::{EntityPair, FileEntity, FoundAt, MachineEntity};

use super::evidence::Role;

/// What may be made of files and devices that come without a stated pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairing {
    /// Only what the alert states, or what is certain.
    #[default]
    Stated,
    /// Every file on every device, if that makes no more pairs than this.
    Cross(NonZeroUsize),
}

/// A device and where it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) entity: MachineEntity,
    pub(super) found_at: Option<String>,
}

/// A file, what part it played and where it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) entity: FileEntity,
    pub(super) role: Option<Role>,
    pub(super) found_at: Option<String>,
}

/// A pair and the role of its file.
pub(super) type Paired = (EntityPair, Option<Role>);

/// Pairs files and devices. `machines` are the devices that the alert names; `all_named` says that it tells of no others.
pub(super) fn pairs(machines: &[Machine], all_named: bool, files: &[File], pairing: Pairing) -> Vec<Paired> {
    let machines = distinct(machines);
    match (machines.as_slice(), pairing) {
        (several, _) if !all_named => files.iter().map(|file| ambiguous(several, file)).collect(),
        ([only], _) => files.iter().map(|file| pair(only, file)).collect(),
        (several, Pairing::Cross(max)) if several.len().saturating_mul(files.len()) <= max.get() => {
            let crossed =
                files.iter().flat_map(|file| several.iter().map(move |machine| pair(machine, file)));
            crossed.collect()
        }
        (several, _) => files.iter().map(|file| ambiguous(several, file)).collect(),
    }
}

fn pair(machine: &Machine, file: &File) -> Paired {
    let found_at = FoundAt { machine: machine.found_at.clone(), file: file.found_at.clone() };
    let (machine, entity) = (machine.entity.clone(), file.entity.clone());
    (EntityPair { machine, file: entity, candidates: Vec::new(), found_at }, file.role)
}

fn ambiguous(machines: &[Machine], file: &File) -> Paired {
    let found_at = FoundAt { machine: None, file: file.found_at.clone() };
    let candidates = machines.iter().map(|machine| machine.entity.clone()).collect();
    let machine = MachineEntity::default();
    (EntityPair { machine, file: file.entity.clone(), candidates, found_at }, file.role)
}

/// The devices, each once and as fully as it is named, in an order of their own.
fn distinct(machines: &[Machine]) -> Vec<Machine> {
    let fuller = |machine: &Machine| {
        machines
            .iter()
            .any(|other| covers(&other.entity, &machine.entity) && !covers(&machine.entity, &other.entity))
    };
    let mut kept: Vec<Machine> = Vec::new();
    for machine in machines.iter().filter(|machine| !fuller(machine)) {
        let known = |other: &Machine| covers(&other.entity, &machine.entity);
        if !kept.iter().any(known) {
            kept.push(machine.clone());
        }
    }
    kept.sort_by_cached_key(|machine| format!("{:?}", machine.entity));
    kept
}

/// Says whether all that `part` tells of a device stands in `whole` too.
fn covers(whole: &MachineEntity, part: &MachineEntity) -> bool {
    let lower = |entity: &MachineEntity| entity.dns_name.as_ref().map(|name| name.to_ascii_lowercase());
    (part.id.is_none() || part.id == whole.id)
        && (part.aad_device_id.is_none() || part.aad_device_id == whole.aad_device_id)
        && (part.dns_name.is_none() || lower(part) == lower(whole))
        && (part.ip.is_none() || part.ip == whole.ip)
}
