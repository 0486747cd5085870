//! Which of several records of Defender is the device, if that is beyond doubt. Pure.

use std::collections::BTreeMap;

use crate::alert::{DnsName, HeldReason, Machine, MachineEntity, MachineId, Question};

use super::machine::many;
use super::{Known, Stop};

/// How many merges of records are followed.
const MERGES_MAX: usize = 4;

/// How many records evidence lists.
const LISTED_MAX: usize = 10;

/// Replaces each record by the one that it was merged into, and keeps each once.
pub(super) fn survivors(list: Vec<Machine>, known: &Known<'_>) -> Result<Vec<Machine>, Stop> {
    let by_id: BTreeMap<MachineId, Machine> = list.into_iter().map(|machine| (machine.id, machine)).collect();
    let mut left: BTreeMap<MachineId, Machine> = BTreeMap::new();
    for machine in by_id.values() {
        let mut survivor = machine.clone();
        let mut merges: usize = 0;
        while let Some(into) = survivor.merged_into.filter(|into| *into != survivor.id) {
            merges = merges.saturating_add(1);
            if merges > MERGES_MAX {
                let evidence = format!("the record of device {} is merged on and on", machine.id);
                return Err(Stop::hold(HeldReason::MachineAmbiguous, evidence));
            }
            survivor = match by_id.get(&into) {
                Some(listed) => listed.clone(),
                None => merged(machine.id, into, known)?,
            };
        }
        left.insert(survivor.id, survivor);
    }
    Ok(left.into_values().collect())
}

fn merged(from: MachineId, into: MachineId, known: &Known<'_>) -> Result<Machine, Stop> {
    let list = many(Question::Machine(into), known)?;
    let found = list.into_iter().find(|machine| machine.id == into);
    let evidence = || format!("device {from} was merged into {into}, which Defender does not know");
    found.ok_or_else(|| Stop::hold(HeldReason::MachineUnknown, evidence()))
}

/// Drops what is surely not meant; what is left must be one device, fit for use.
pub(super) fn choose(list: Vec<Machine>, by: &str) -> Result<Machine, Stop> {
    if let Some(doubtful) = list.iter().find(|machine| machine.is_potential_duplication) {
        let evidence = format!("Defender marks device {} ({by}) as a potential duplication", doubtful.id);
        return Err(Stop::hold(HeldReason::MachineAmbiguous, evidence));
    }
    let (out, mut left): (Vec<_>, Vec<_>) =
        list.into_iter().partition(|machine| surely_out(machine).is_some());
    match (left.pop(), left.is_empty()) {
        (Some(machine), true) => {
            fit_for_use(&machine)?;
            Ok(machine)
        }
        (Some(machine), false) => {
            left.push(machine);
            let evidence = format!("{} devices have {by}: {}", left.len(), listed(&left));
            Err(Stop::hold(HeldReason::MachineAmbiguous, evidence))
        }
        (None, _) => {
            let evidence = format!("no device with {by} is onboarded, active and Windows: {}", listed(&out));
            Err(Stop::hold(HeldReason::MachineNotOnboarded, evidence))
        }
    }
}

/// Says why a device is surely not the one that is meant. What is not known drops nothing.
fn surely_out(machine: &Machine) -> Option<String> {
    let onboarding = machine.onboarding_status.as_deref();
    let health = machine.health_status.as_deref();
    let platform = machine.os_platform.as_deref();
    if let Some(status) = onboarding.filter(|status| !is(status, "Onboarded")) {
        Some(status.to_owned())
    } else if let Some(status) = health.filter(|status| is(status, "Inactive")) {
        Some(status.to_owned())
    } else {
        platform.filter(|platform| !is_windows(platform)).map(ToOwned::to_owned)
    }
}

/// Lets a device pass that is known to be onboarded, active and Windows, and not suspected to be two.
pub(super) fn fit_for_use(machine: &Machine) -> Result<(), Stop> {
    let onboarding = machine.onboarding_status.as_deref().unwrap_or("unknown");
    let health = machine.health_status.as_deref().unwrap_or("unknown");
    let platform = machine.os_platform.as_deref().unwrap_or("unknown");
    if machine.is_potential_duplication {
        let evidence = format!("Defender marks device {} as a potential duplication", machine.id);
        return Err(Stop::hold(HeldReason::MachineAmbiguous, evidence));
    }
    if is(onboarding, "Onboarded") && is(health, "Active") && is_windows(platform) {
        return Ok(());
    }
    let evidence = format!(
        "device {} is not onboarded, active and Windows: onboarding {onboarding}, health {health}, platform {platform}",
        machine.id
    );
    Err(Stop::hold(HeldReason::MachineNotOnboarded, evidence))
}

/// Lets a device pass that a person named: which one it is needs no proof, only that Defender can act there. It may be
/// offline for now.
pub(super) fn can_be_acted_on(machine: &Machine) -> Result<(), Stop> {
    let onboarding = machine.onboarding_status.as_deref().unwrap_or("unknown");
    let platform = machine.os_platform.as_deref().unwrap_or("unknown");
    if is(onboarding, "Onboarded") && is_windows(platform) {
        return Ok(());
    }
    let evidence = format!(
        "device {} is not onboarded and Windows: onboarding {onboarding}, platform {platform}",
        machine.id
    );
    Err(Stop::hold(HeldReason::MachineNotOnboarded, evidence))
}

/// Holds what the alert says of a device against Defender's record of it, as far as both speak.
pub(super) fn agree(machine: &Machine, entity: &MachineEntity) -> Result<(), Stop> {
    let disagree = |ours: &str, theirs: &str| {
        let evidence = format!("the alert says {ours}, Defender says {theirs} of device {}", machine.id);
        Err(Stop::hold(HeldReason::MachinesDisagree, evidence))
    };
    if let Some((ours, theirs)) = entity.aad_device_id.zip(machine.aad_device_id)
        && ours != theirs
    {
        return disagree(&format!("Entra device id {ours}"), &theirs.to_string());
    }
    let name: Option<DnsName> = entity.dns_name.as_deref().and_then(|name| name.parse().ok());
    match (name, &machine.dns_name) {
        (Some(ours), Some(theirs)) if !ours.agrees_with(theirs) => {
            disagree(&format!("name {ours}"), theirs.as_str())
        }
        (Some(ours), None) => disagree(&format!("name {ours}"), "no name"),
        _ => Ok(()),
    }
}

fn is(have: &str, word: &str) -> bool {
    have.eq_ignore_ascii_case(word)
}

fn is_windows(platform: &str) -> bool {
    platform.get(..7).is_some_and(|begin| is(begin, "Windows"))
}

fn listed(list: &[Machine]) -> String {
    let line = |machine: &Machine| match surely_out(machine) {
        Some(why) => format!("{} ({why})", machine.id),
        None => machine.id.to_string(),
    };
    list.iter().take(LISTED_MAX).map(line).collect::<Vec<_>>().join(", ")
}
