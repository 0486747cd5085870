//! The simulated reads of devices and files.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::alert::parse_time;

use super::call::Request;
use super::paging::page;
use super::refusals::{No, Reply};
use super::state::State;
use super::switches::GuidLiteral;
use super::world::Machine;

const MACHINE_FILTERS: [&str; 14] = [
    "computerDnsName",
    "id",
    "version",
    "deviceValue",
    "aadDeviceId",
    "machineTags",
    "lastSeen",
    "exposureLevel",
    "onboardingStatus",
    "lastIpAddress",
    "healthStatus",
    "osPlatform",
    "riskScore",
    "rbacGroupId",
];

/// How long addresses are remembered.
const IP_MEMORY: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) fn list_machines(state: &State, request: &Request) -> Reply {
    check_guid(request, state.switches.guid)?;
    let now = state.now();
    let records = state.world.machines.iter().map(|machine| machine.to_json(now)).collect();
    page(request, state, records, &MACHINE_FILTERS)
}

/// Refuses a filter that writes a GUID otherwise than the switch says.
fn check_guid(request: &Request, wanted: GuidLiteral) -> Result<(), No> {
    let query = form_urlencoded::parse(request.query().as_bytes());
    let filters = query.filter(|(name, _)| name == "$filter").map(|(_, value)| value.to_lowercase());
    for filter in filters {
        let Some((_, literal)) = filter.split_once("aaddeviceid eq ") else {
            continue;
        };
        if literal.starts_with("null") {
            continue;
        }
        let is_quoted = literal.starts_with('\'');
        if is_quoted != (wanted == GuidLiteral::Quoted) {
            let message = "A binary operator with incompatible types was detected. Found operand types for operator kind 'Equal'.";
            return Err(No::odata(message));
        }
    }
    Ok(())
}

pub(super) fn machine(state: &mut State, id: &str) -> Reply {
    if let Some(arguments) = id.strip_prefix("findbyip(") {
        return find_by_ip(state, arguments);
    }
    let now = state.now();
    let machine = state.world.machine(id).ok_or_else(|| No::machine_not_found(id))?;
    state.world.note_made_up(&machine);
    Ok((200, machine.to_json(now)))
}

/// `findbyip(ip='10.0.0.1',timestamp=2026-03-01T12:00:00Z)`, after the opening bracket.
fn find_by_ip(state: &State, arguments: &str) -> Reply {
    let read = |text: &str| -> Option<(String, Timestamp)> {
        let (ip, rest) = text.strip_prefix("ip='")?.split_once("',timestamp=")?;
        Some((ip.to_owned(), parse_time(rest.strip_suffix(')')?)?))
    };
    let Some((ip, at)) = read(arguments) else {
        return Err(No::new(400, "InvalidInput", "Invalid input findbyip"));
    };
    if ip.parse::<std::net::IpAddr>().is_err() {
        return Err(No::new(400, "InvalidIpAddress", format!("IP address {ip} is invalid")));
    }
    let age = state.now().duration_since(at);
    if age > IP_MEMORY || age.is_negative() {
        return Err(No::new(
            400,
            "InvalidInput",
            format!("Invalid input {at}: the timestamp must be in the past 30 days"),
        ));
    }
    let found = state.world.machines.iter().filter(|machine| machine.had_ip(&ip, at));
    Ok((200, list_of(state.now(), found)))
}

fn list_of<'m>(now: Timestamp, machines: impl Iterator<Item = &'m Machine>) -> Value {
    let records: Vec<Value> = machines.map(|machine| machine.to_json(now)).collect();
    json!({"@odata.context": "https://api.securitycenter.microsoft.com/api/$metadata#Machines", "value": records})
}

pub(super) fn file(state: &State, hash: &str) -> Reply {
    if !is_hash(hash, &[32, 40, 64]) {
        return Err(No::new(400, "InvalidHashValue", format!("Hash value {hash} is invalid")));
    }
    let found = state.world.file(hash).map(|file| (200, file.to_json()));
    found.ok_or_else(|| file_not_found(hash))
}

fn file_not_found(hash: &str) -> No {
    No::new(404, "ResourceNotFound", format!("File {hash} was not found"))
}

fn is_hash(text: &str, digits: &[usize]) -> bool {
    digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The hours that may be looked back (reference, defender-api 4).
const LOOK_BACK: std::ops::RangeInclusive<u32> = 1..=720;

/// `GET /api/files/{hash}/stats`.
pub(super) fn file_stats(state: &State, request: &Request, hash: &str) -> Reply {
    if !is_hash(hash, &[40, 64]) {
        return Err(No::new(400, "InvalidHashValue", format!("Hash value {hash} is invalid")));
    }
    let mut query = form_urlencoded::parse(request.query().as_bytes());
    let hours = query.find(|(name, _)| name == "lookBackHours");
    if hours.is_some_and(|(_, hours)| !hours.parse().is_ok_and(|hours| LOOK_BACK.contains(&hours))) {
        return Err(No::new(400, "InvalidInput", "Invalid input lookBackHours"));
    }
    let file = state.world.file(hash).ok_or_else(|| file_not_found(hash))?;
    let seen = state.world.seen_on(file.sha1.as_deref().unwrap_or_default()).count();
    Ok((200, file.stats_json(seen)))
}

/// `GET /api/files/{sha1}/machines`: by SHA1 only, and an empty list for a file that is not known.
pub(super) fn file_machines(state: &State, request: &Request, hash: &str) -> Reply {
    if !is_hash(hash, &[40]) {
        return Err(No::new(400, "InvalidHashValue", format!("Hash value {hash} is invalid")));
    }
    let now = state.now();
    let records = state.world.seen_on(hash).map(|machine| machine.to_json(now)).collect();
    page(request, state, records, &[])
}
