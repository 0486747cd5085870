//! Finds the device. Pure.

use core::net::IpAddr;

use crate::alert::{DnsName, Found, HeldReason, Machine, MachineEntity, MachineId, Question};

use super::choose::{agree, can_be_acted_on, choose, fit_for_use, survivors};
use super::steps::{Step, is_ambiguous, plan};
use super::{Given, Known, Stop, ask};

/// The device's id and how it was found.
pub(super) type MachineFound = (MachineId, String);

/// How many candidates evidence lists.
const LISTED_MAX: usize = 10;

/// Walks the steps: the first that finds a device decides, and an ambiguous one stops the walk.
pub(super) fn find(given: &Given<'_>, known: &Known<'_>) -> Result<MachineFound, Stop> {
    let plan = plan(given);
    let mut asked = Vec::new();
    for step in &plan.machine {
        if let Some(found) = try_step(step, given, known)? {
            return Ok(found);
        }
        asked.extend(step.question().map(|question| question.to_string()));
    }
    if plan.machine.is_empty() && is_ambiguous(given) {
        return Err(Stop::hold(HeldReason::AmbiguousPair, ambiguous(&given.pair.candidates)));
    }
    if asked.is_empty() {
        let why =
            if plan.left_out.is_empty() { "nothing names it".to_owned() } else { plan.left_out.join("; ") };
        return Err(Stop::hold(
            HeldReason::MachineNotNamed,
            format!("the device cannot be looked for: {why}"),
        ));
    }
    asked.extend(plan.left_out.into_iter().map(|why| format!("({why})")));
    let evidence = format!("Defender knows none of: {}", asked.join(", "));
    Err(Stop::hold(HeldReason::MachineUnknown, evidence))
}

fn try_step(step: &Step, given: &Given<'_>, known: &Known<'_>) -> Result<Option<MachineFound>, Stop> {
    let entity = &given.pair.machine;
    match step {
        Step::MachineAsGiven(id) => Ok(Some((*id, format!("machine: {id} as the alert gives it")))),
        Step::ChosenMachine(id) => {
            let machine = by_id(*id, known)?;
            can_be_acted_on(&machine)?;
            let by = given.completion.map_or_else(String::new, |completion| completion.by.to_string());
            Ok(Some(said(&machine, &format!("chosen by {by}, known to Defender"))))
        }
        Step::ConfirmedMachine(id) => {
            let machine = by_id(*id, known)?;
            fit_for_use(&machine)?;
            agree(&machine, entity)?;
            Ok(Some(said(&machine, "as the alert gives it, known to Defender")))
        }
        Step::AadDeviceId(id) => {
            let list = machines(step, known)?;
            let fitting = list.into_iter().filter(|machine| machine.aad_device_id == Some(*id)).collect();
            one_of(fitting, entity, known, &format!("Entra device id {id}"))
        }
        Step::Fqdn(name) => {
            let list = machines(step, known)?;
            let fitting =
                list.into_iter().filter(|machine| machine.dns_name.as_ref() == Some(name)).collect();
            one_of(fitting, entity, known, &format!("name {name}"))
        }
        Step::HostName(name) => by_host_name(name, machines(step, known)?, entity, known),
        Step::Ip(ip, _) => by_ip(*ip, machines(step, known)?, entity, known),
        Step::ChosenFile(_) | Step::FileAsGiven(_) | Step::Sha256(_) | Step::Md5(_) => Ok(None),
    }
}

fn machines(step: &Step, known: &Known<'_>) -> Result<Vec<Machine>, Stop> {
    let Some(question) = step.question() else {
        return Ok(Vec::new());
    };
    many(question, known)
}

pub(super) fn many(question: Question, known: &Known<'_>) -> Result<Vec<Machine>, Stop> {
    let text = question.to_string();
    match ask(question, known)? {
        Found::Machines(list) => Ok(list),
        Found::Forbidden(why) | Found::Refused(why) => {
            Err(Stop::hold(HeldReason::LookupRefused, format!("Defender refused to look for {text}: {why}")))
        }
        Found::File(_) | Found::Stats(_) | Found::SeenOn(_) => {
            Err(Stop::hold(HeldReason::LookupRefused, format!("no device was answered for {text}")))
        }
    }
}

/// The record of a device named by its id, or of the one that it was merged into.
fn by_id(id: MachineId, known: &Known<'_>) -> Result<Machine, Stop> {
    let list = many(Question::Machine(id), known)?;
    let fitting: Vec<_> = list.into_iter().filter(|machine| machine.id == id).collect();
    let mut left = survivors(fitting, known)?.into_iter();
    match (left.next(), left.next()) {
        (Some(machine), None) => Ok(machine),
        _ => Err(Stop::hold(HeldReason::MachineUnknown, format!("Defender does not know machine id {id}"))),
    }
}

fn one_of(
    fitting: Vec<Machine>,
    entity: &MachineEntity,
    known: &Known<'_>,
    by: &str,
) -> Result<Option<MachineFound>, Stop> {
    if fitting.is_empty() {
        return Ok(None);
    }
    let machine = choose(survivors(fitting, known)?, by)?;
    agree(&machine, entity)?;
    Ok(Some(said(&machine, &format!("by its {by}"))))
}

/// Exactly one device may have the host name, whatever its domain.
fn by_host_name(
    name: &DnsName,
    list: Vec<Machine>,
    entity: &MachineEntity,
    known: &Known<'_>,
) -> Result<Option<MachineFound>, Stop> {
    let host_name = |machine: &Machine| machine.dns_name.as_ref().map(|name| name.host_name().to_owned());
    let longer = |have: String| have != name.as_str() && have.starts_with(name.as_str());
    if name.may_be_cut() && list.iter().filter_map(host_name).any(longer) {
        let evidence =
            format!("{name} may be a longer host name that NetBIOS has cut, and Defender knows such");
        return Err(Stop::hold(HeldReason::MachineAmbiguous, evidence));
    }
    let same = |machine: &Machine| host_name(machine).is_some_and(|have| have == name.host_name());
    let fitting = list.into_iter().filter(same).collect();
    one_of(fitting, entity, known, &format!("host name {}", name.host_name()))
}

/// Only one device may have had the address, and it must have it still: addresses move.
fn by_ip(
    ip: IpAddr,
    list: Vec<Machine>,
    entity: &MachineEntity,
    known: &Known<'_>,
) -> Result<Option<MachineFound>, Stop> {
    let left = survivors(list, known)?;
    if left.len() > 1 {
        let ids: Vec<String> = left.iter().take(LISTED_MAX).map(|machine| machine.id.to_string()).collect();
        let evidence = format!("{} devices had {ip} around that time: {}", left.len(), ids.join(", "));
        return Err(Stop::hold(HeldReason::IpAmbiguous, evidence));
    }
    if left.is_empty() {
        return Ok(None);
    }
    let machine = choose(left, &format!("address {ip}"))?;
    if machine.last_ip.map(|ip| ip.to_canonical()) != Some(ip) {
        let current = machine.last_ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        let evidence =
            format!("device {} had {ip} around that time, its own last address is {current}", machine.id);
        return Err(Stop::hold(HeldReason::IpAmbiguous, evidence));
    }
    agree(&machine, entity)?;
    Ok(Some(said(&machine, &format!("by its address {ip}"))))
}

fn said(machine: &Machine, how: &str) -> MachineFound {
    let name = machine.dns_name.as_ref().map_or("no name", DnsName::as_str);
    (machine.id, format!("machine: {} ({name}), {how}", machine.id))
}

fn ambiguous(candidates: &[MachineEntity]) -> String {
    if candidates.is_empty() {
        return "the alert does not say on which device the file was".to_owned();
    }
    let listed: Vec<String> = candidates.iter().take(LISTED_MAX).map(MachineEntity::key).collect();
    let count = candidates.len();
    format!("the alert names {count} devices and does not say which had the file: {}", listed.join(", "))
}
