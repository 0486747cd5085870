//! The ways that are tried for one pair, in order. Pure.

use core::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{
    AadDeviceId, DnsName, MachineEntity, MachineId, Md5, Question, Sha1, Sha256, is_of_one_device,
};

use super::{By, Given, IdRule, Rules};

/// How long Defender remembers who had an address (reference, defender-api 3.2).
const IP_MEMORY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One way to find the device or the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The device is the one that a person named, if Defender knows it.
    ChosenMachine(MachineId),
    /// The device is the one whose id the alert gives.
    MachineAsGiven(MachineId),
    /// The same, if Defender knows it.
    ConfirmedMachine(MachineId),
    /// Ask by Entra ID's id.
    AadDeviceId(AadDeviceId),
    /// Ask by the exact DNS name.
    Fqdn(DnsName),
    /// Ask by the host name.
    HostName(DnsName),
    /// Ask by the address.
    Ip(IpAddr, Timestamp),
    /// The file is the one that a person named.
    ChosenFile(Sha1),
    /// The file is the one whose SHA1 the alert gives.
    FileAsGiven(Sha1),
    /// Ask by SHA256.
    Sha256(Sha256),
    /// Ask by MD5.
    Md5(Md5),
}

impl Step {
    /// Returns what Defender is asked first, if it is asked.
    pub fn question(&self) -> Option<Question> {
        match self {
            Self::ChosenMachine(id) | Self::ConfirmedMachine(id) => Some(Question::Machine(*id)),
            Self::AadDeviceId(id) => Some(Question::MachinesByAadDeviceId(*id)),
            Self::Fqdn(name) => Some(Question::MachinesByName(name.clone())),
            Self::HostName(name) => name.host_name().parse().ok().map(Question::MachinesByHostName),
            Self::Ip(ip, at) => Some(Question::MachinesByIp { ip: *ip, at: *at }),
            Self::Sha256(sha256) => Some(Question::FileBySha256(*sha256)),
            Self::Md5(md5) => Some(Question::FileByMd5(*md5)),
            Self::MachineAsGiven(_) | Self::ChosenFile(_) | Self::FileAsGiven(_) => None,
        }
    }

    /// Returns what the step does, for a person.
    pub fn explained(&self) -> String {
        match (self, self.question()) {
            (Self::MachineAsGiven(id), _) => format!("machine id {id} as the alert gives it"),
            (Self::ChosenFile(sha1), _) => format!("SHA1 {sha1} as a person gave it"),
            (Self::FileAsGiven(sha1), _) => format!("SHA1 {sha1} as the alert gives it"),
            (_, Some(question)) => format!("ask Defender for {question}"),
            (_, None) => String::new(),
        }
    }
}

/// The ways for one pair, and what keeps others from being gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The ways to the device, in order.
    pub machine: Vec<Step>,
    /// The ways to the file, in order.
    pub file: Vec<Step>,
    /// What the alert says and is not used, and why.
    pub left_out: Vec<String>,
}

impl Plan {
    fn leave_out(&mut self, why: String) {
        self.left_out.push(why);
    }

    fn switched_off(&mut self, what: &str, by: By) {
        self.leave_out(format!(
            "{what} is not used for this source ({} is off in its resolve section)",
            by.key()
        ));
    }
}

/// Lists the ways for one pair.
pub fn plan(given: &Given<'_>) -> Plan {
    let mut plan = Plan::default();
    plan_machine(&mut plan, given);
    plan_file(&mut plan, given);
    plan
}

fn plan_machine(plan: &mut Plan, given: &Given<'_>) {
    if let Some(id) = given.completion.and_then(|completion| completion.machine_id) {
        plan.machine.push(Step::ChosenMachine(id));
        return;
    }
    if is_ambiguous(given) {
        return;
    }
    let machine = &given.pair.machine;
    if let Some(id) = machine.id {
        plan.machine.push(match given.rules.id {
            IdRule::AsGiven => Step::MachineAsGiven(id),
            IdRule::Confirmed => Step::ConfirmedMachine(id),
        });
        return;
    }
    if let Some(id) = machine.aad_device_id {
        if given.rules.allow(By::AadDeviceId) {
            plan.machine.push(Step::AadDeviceId(id));
        } else {
            plan.switched_off(&format!("Entra device id {id}"), By::AadDeviceId);
        }
    }
    plan_name(plan, machine, given.rules);
    plan_ip(plan, given);
}

/// Says whether the alert leaves open which device had the file.
pub(super) fn is_ambiguous(given: &Given<'_>) -> bool {
    !given.pair.candidates.is_empty() || given.pair.machine == MachineEntity::default()
}

fn plan_name(plan: &mut Plan, machine: &MachineEntity, rules: &Rules) {
    let Some(text) = &machine.dns_name else {
        return;
    };
    let name: DnsName = match text.parse() {
        Ok(name) => name,
        Err(error) => return plan.leave_out(error.to_string()),
    };
    if !name.is_bare() {
        if rules.allow(By::Fqdn) {
            plan.machine.push(Step::Fqdn(name.clone()));
        } else {
            plan.switched_off(&format!("the name {name}"), By::Fqdn);
        }
    }
    if rules.allow(By::HostName) {
        plan.machine.push(Step::HostName(name));
    } else {
        plan.switched_off(&format!("the host name {}", name.host_name()), By::HostName);
    }
}

fn plan_ip(plan: &mut Plan, given: &Given<'_>) {
    let Some(ip) = given.pair.machine.ip.map(|ip| ip.to_canonical()) else {
        return;
    };
    if !given.rules.allow(By::Ip) {
        return plan.switched_off(&format!("the address {ip}"), By::Ip);
    }
    if !is_of_one_device(ip) {
        return plan.leave_out(format!("{ip} is not the address of one device"));
    }
    match given.occurred_at {
        None => plan.leave_out(format!("the address {ip} says nothing without the time of the alert")),
        Some(at) if given.now.duration_since(at) >= IP_MEMORY => {
            plan.leave_out(format!("who had {ip} more than 30 days ago is not known"));
        }
        Some(at) => plan.machine.push(Step::Ip(ip, at)),
    }
}

fn plan_file(plan: &mut Plan, given: &Given<'_>) {
    let file = &given.pair.file;
    if let Some(sha1) = file.sha1 {
        plan.file.push(Step::FileAsGiven(sha1));
        return;
    }
    if let Some(sha1) = given.completion.and_then(|completion| completion.sha1) {
        plan.file.push(Step::ChosenFile(sha1));
        return;
    }
    // One hash is enough, and the better one: where Defender does not know the SHA256, it does not know the MD5 either.
    match (file.sha256, file.md5) {
        (Some(sha256), _) if given.rules.allow(By::Sha256) => plan.file.push(Step::Sha256(sha256)),
        (None, Some(md5)) if given.rules.allow(By::Md5) => plan.file.push(Step::Md5(md5)),
        (Some(_), _) => plan.switched_off("the SHA256", By::Sha256),
        (None, Some(_)) => plan.switched_off("the MD5", By::Md5),
        (None, None) => {}
    }
}
