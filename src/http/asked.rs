//! Reads what a caller asks for: one device, one file, because of one alert.

use core::net::IpAddr;
use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;

use crate::alert::{
    Alert, DnsName, EntityPair, FileEntity, FoundAt, MachineEntity, Mode, REASON_CHARS_MAX, Requested,
    is_of_one_device, parse_time, reason_text,
};
use crate::mapping::is_web_address;
use crate::store::Wanted;

use super::auth::Requester;
use super::problem::{Problem, ProblemKind};
use super::said::{self, member};

/// How many actions may be asked for at once.
const BATCH_MAX: usize = 100;

/// One action as it is asked for. What may be left out, and what must be there, is looked at item by item.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) alert_id: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) title: Option<String>,
    pub(super) occurred_at: Option<String>,
    pub(super) url: Option<String>,
    pub(super) machine: Option<AskedMachine>,
    pub(super) file: Option<AskedFile>,
    pub(super) mode: Option<String>,
    pub(super) note: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedMachine {
    pub(super) id: Option<String>,
    pub(super) aad_device_id: Option<String>,
    pub(super) dns_name: Option<String>,
    pub(super) ip: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedFile {
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) name: Option<String>,
}

/// Several at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedBatch {
    actions: Vec<Asked>,
}

/// Reads a body that asks for one action.
pub(super) fn one(requester: &Requester, body: &[u8]) -> Result<Vec<Result<Wanted, Problem>>, Problem> {
    let asked: Asked = said::parse(body)?;
    Ok(vec![Ok(wanted(requester, asked)?)])
}

/// Reads a body that asks for several. What is wrong with one does not stop the others.
pub(super) fn several(requester: &Requester, body: &[u8]) -> Result<Vec<Result<Wanted, Problem>>, Problem> {
    let batch: AskedBatch = said::parse(body)?;
    match batch.actions.len() {
        0 => Err(invalid("actions is empty.".to_owned())),
        1..=BATCH_MAX => Ok(batch.actions.into_iter().map(|asked| wanted(requester, asked)).collect()),
        count => {
            let detail = format!("{count} actions are asked for; {BATCH_MAX} are taken at once.");
            Err(Problem::new(ProblemKind::TooLarge, detail))
        }
    }
}

/// Takes what is asked for, if all of it is sound.
pub(super) fn wanted(requester: &Requester, asked: Asked) -> Result<Wanted, Problem> {
    let occurred_at = asked.occurred_at.as_deref().map(time).transpose()?;
    let machine = machine(&asked.machine.unwrap_or_default(), occurred_at)?;
    let file = file(&asked.file.unwrap_or_default())?;
    if machine.id.zip(file.sha1).is_some_and(|(id, sha1)| sha1.equals_machine(id)) {
        let detail = "machine.id and file.sha1 are the same text: one was taken for the other.";
        return Err(invalid(detail.to_owned()));
    }
    let pair = EntityPair { machine, file, candidates: Vec::new(), found_at: FoundAt::default() };
    let mode = optional("mode", asked.mode.as_deref())?;
    let alert = Alert {
        alert_id: needed("alert_id", asked.alert_id.as_deref())?,
        severity: Some(needed("severity", asked.severity.as_deref())?),
        title: line("title", asked.title.as_deref())?.unwrap_or_default(),
        occurred_at,
        url: asked.url.map(web_address).transpose()?,
        targets: vec![pair],
    };
    let beside = Requested {
        by: requester.who.clone(),
        mode_max: lower(mode, requester.bound.mode),
        note: line("note", asked.note.as_deref())?,
    };
    Ok(Wanted { alert, requested: beside })
}

/// What is asked for can only lower what the token allows.
fn lower(asked: Option<Mode>, allowed: Option<Mode>) -> Option<Mode> {
    match (asked, allowed) {
        (Some(asked), Some(allowed)) => Some(asked.min(allowed)),
        (asked, allowed) => asked.or(allowed),
    }
}

fn machine(asked: &AskedMachine, occurred_at: Option<Timestamp>) -> Result<MachineEntity, Problem> {
    let dns_name: Option<DnsName> = optional("machine.dns_name", asked.dns_name.as_deref())?;
    let ip: Option<IpAddr> = optional("machine.ip", asked.ip.as_deref())?;
    let machine = MachineEntity {
        id: optional("machine.id", asked.id.as_deref())?,
        aad_device_id: optional("machine.aad_device_id", asked.aad_device_id.as_deref())?,
        dns_name: dns_name.map(|name| name.to_string()),
        ip,
    };
    if machine == MachineEntity::default() {
        let detail = "machine needs one of id, aad_device_id, dns_name and ip.";
        return Err(invalid(detail.to_owned()));
    }
    if ip.is_some_and(|ip| !is_of_one_device(ip)) {
        return Err(invalid("machine.ip is an address that many devices have.".to_owned()));
    }
    if ip.is_some() && occurred_at.is_none() {
        return Err(invalid("machine.ip needs occurred_at: addresses move.".to_owned()));
    }
    Ok(machine)
}

fn file(asked: &AskedFile) -> Result<FileEntity, Problem> {
    let (sha1, sha256) =
        (optional("file.sha1", asked.sha1.as_deref())?, optional("file.sha256", asked.sha256.as_deref())?);
    let file = FileEntity { sha1, sha256, md5: None, name: line("file.name", asked.name.as_deref())? };
    if file.key().is_empty() { Err(invalid("file needs sha1 or sha256.".to_owned())) } else { Ok(file) }
}

fn needed<T>(name: &str, text: Option<&str>) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    optional(name, text)?.ok_or_else(|| invalid(format!("{name} is missing.")))
}

fn optional<T>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.map(|text| member(name, text)).transpose()
}

/// Reads a text for people: one line that shows all that it says.
fn line(name: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let detail = || format!("{name} must be one line of 1 to {REASON_CHARS_MAX} visible characters.");
    text.map(|text| reason_text(text).ok_or_else(|| invalid(detail()))).transpose()
}

fn time(text: &str) -> Result<Timestamp, Problem> {
    let detail = || "occurred_at must be a time such as 2026-03-31T11:58:00Z.".to_owned();
    parse_time(text).ok_or_else(|| invalid(detail()))
}

fn web_address(text: String) -> Result<String, Problem> {
    let detail = "url must be an http or https address of at most 2,000 visible characters.";
    if is_web_address(&text) { Ok(text) } else { Err(invalid(detail.to_owned())) }
}

fn invalid(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidBody, detail)
}
