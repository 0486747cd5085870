//! Turns what a format's program answered into alerts, or says what is wrong with it and where.

use std::str::FromStr;

use jiff::Timestamp;

use crate::alert::{
    Alert, AlertId, EntityPair, FoundAt, MachineEntity, Reason, RefusedAlert, Severity, Sha1, parse_time,
};

use super::entities::{Reader, names_a_machine};
use super::evidence::{Evidence, LeftOut, Role};
use super::object::Object;
use super::pairing::{File, Machine, Paired, Pairing, pairs};
use super::value::Value;

/// How many pairs one alert may name.
pub const TARGETS_MAX: usize = 100;

/// How many devices and how many files one alert may name without saying which belongs to which.
const UNPAIRED_MAX: usize = 100;

/// The longest text for people that is kept, in characters.
const WORD_CHARS_MAX: usize = 500;

/// The longest address kept, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// How many things that were left out the reason of an alert without targets names.
const NAMED_MAX: usize = 5;

/// Numbers above this are milliseconds since 1970, below it seconds: as seconds it would be the year 5138.
const MILLIS_FROM: i64 = 100_000_000_000;

/// Times before 2000, in seconds since 1970, are what senders write for none: 1601, 0001-01-01.
const SECONDS_FROM: i64 = 946_684_800;

/// What one value that a program answered holds.
#[derive(Debug)]
pub(super) struct Read {
    /// The alert, with its good pairs, if it has any.
    pub(super) alert: Option<Alert>,
    /// What is wrong with it, or with some of its pairs.
    pub(super) refused: Option<RefusedAlert>,
    /// What the format says of its evidence.
    pub(super) evidence: Evidence,
}

/// Reads one value that a program answered.
///
/// A pair that is wrong is left out and told; it does not stop the others, each of which stands for itself.
pub(super) fn alert(output: &Value<'_>, pairing: Pairing) -> Read {
    let mut reader = Reader::default();
    let Value::Object(fields) = output else {
        reader.complain(Reason::FormatOutput, "$", "the format must answer an object an alert");
        return Read { alert: None, refused: refused(reader, None), evidence: Evidence::default() };
    };
    let known = ["alert_id", "severity", "title", "occurred_at", "url", "targets", "unpaired", "left_out"];
    reader.only_known(fields, &known, "$");
    let alert_id = alert_id(&mut reader, fields);
    reader.left_out(fields);
    let is_sound = reader.problems.is_empty();
    let (targets, roles) = targets(&mut reader, fields, pairing);
    let evidence = Evidence {
        alert_id: alert_id.as_ref().map(ToString::to_string),
        roles,
        left_out: std::mem::take(&mut reader.left_out),
    };
    let refused = refused(reader, alert_id.as_ref());
    let alert = alert_id.filter(|_| is_sound && !targets.is_empty()).map(|alert_id| Alert {
        alert_id,
        severity: text(fields, "severity").and_then(|word| Severity::from_str(word).ok()),
        title: word(text(fields, "title").unwrap_or_default()),
        occurred_at: occurred_at(fields),
        url: text(fields, "url").filter(|url| is_web_address(url)).map(ToOwned::to_owned),
        targets,
    });
    Read { alert, refused, evidence }
}

fn refused(reader: Reader, alert_id: Option<&AlertId>) -> Option<RefusedAlert> {
    let alert_id = alert_id.map(ToString::to_string);
    (!reader.problems.is_empty()).then_some(RefusedAlert { alert_id, problems: reader.problems })
}

fn alert_id(reader: &mut Reader, fields: &Object<'_>) -> Option<AlertId> {
    let path = "$.alert_id";
    let digits = |value: &Value<'_>| matches!(value, Value::Number(_)).then(|| value.to_string());
    let value = field(fields, "alert_id");
    let Some(text) = value.as_str().map(ToOwned::to_owned).or_else(|| digits(value)) else {
        reader.complain(Reason::AlertId, path, "the alert has no id: a text or a number is needed");
        return None;
    };
    let id = text.parse();
    reader.keep(Reason::AlertId, path, id)
}

/// Reads the pairs that the alert states and makes those that are certain; returns each once, with its role.
fn targets(
    reader: &mut Reader,
    fields: &Object<'_>,
    pairing: Pairing,
) -> (Vec<EntityPair>, Vec<Option<Role>>) {
    let Some(stated) = list(reader, fields, "targets") else {
        return Default::default();
    };
    let (machines, files) = match field(fields, "unpaired") {
        Value::Null => Default::default(),
        Value::Object(unpaired) => {
            reader.only_known(unpaired, &["machines", "files"], "$.unpaired");
            let machines = list(reader, unpaired, "machines").unwrap_or_default();
            (machines, list(reader, unpaired, "files").unwrap_or_default())
        }
        _ => {
            reader.complain(Reason::FormatOutput, "$.unpaired", "unpaired must be an object");
            return Default::default();
        }
    };
    if stated.is_empty() && files.is_empty() {
        no_target(reader);
        return Default::default();
    }
    let most = [stated.len(), machines.len(), files.len()].into_iter().max().unwrap_or_default();
    if most > UNPAIRED_MAX {
        too_many(reader, most);
        return Default::default();
    }
    let mut paired: Vec<Paired> = Vec::new();
    for (index, item) in stated.iter().enumerate() {
        paired.extend(stated_pair(reader, index, item));
    }
    let all_read = paired.len() == stated.len();
    let mut named: Vec<Machine> = Vec::new();
    for (index, item) in machines.iter().enumerate() {
        named.extend(machine(reader, index, item));
    }
    // A device that could not be read is a device all the same: leaving it out would make another the only one.
    let all_named = all_read && named.len() == machines.len();
    named.extend(
        paired.iter().map(|(pair, _)| Machine {
            entity: pair.machine.clone(),
            found_at: pair.found_at.machine.clone(),
        }),
    );
    let files: Vec<File> =
        files.iter().enumerate().filter_map(|(index, item)| file(reader, index, item)).collect();
    paired.extend(pairs(&named, all_named, &files, pairing));
    paired.retain(|(pair, _)| !is_swapped(reader, pair));
    let mut kept: Vec<Paired> = Vec::new();
    for (pair, role) in paired {
        let same = |(other, _): &Paired| key(other) == key(&pair);
        if !kept.iter().any(same) {
            kept.push((pair, role));
        }
    }
    if kept.len() > TARGETS_MAX {
        too_many(reader, kept.len());
        return Default::default();
    }
    kept.into_iter().unzip()
}

fn key(pair: &EntityPair) -> (String, String) {
    (pair.machine.key(), pair.file.key())
}

fn list<'a>(reader: &mut Reader, fields: &'a Object<'a>, name: &str) -> Option<&'a [Value<'a>]> {
    if let Value::Array(items) = field(fields, name) {
        return Some(items.items());
    }
    reader.complain(Reason::FormatOutput, "$", format!("{name} must be an array"));
    None
}

fn too_many(reader: &mut Reader, count: usize) {
    let detail = format!("the alert names {count} pairs, devices or files; at most 100 are taken");
    reader.complain(Reason::TooManyTargets, "$", detail);
}

/// Says why an alert has no target: what its message is, or what of it was left out.
fn no_target(reader: &mut Reader) {
    if let Some(settled) = reader.left_out.iter().find(|it| it.why.settles()) {
        let detail = format!("nothing is to be done: {}", settled.why.explained());
        reader.complain(Reason::Settled, "$", detail);
        return;
    }
    let nothing = "the alert names no file on a device that its source calls malicious or detected";
    let named: Vec<String> = reader.left_out.iter().take(NAMED_MAX).map(LeftOut::to_string).collect();
    let more = reader.left_out.len().saturating_sub(named.len());
    let more = if more > 0 { format!("; {more} more") } else { String::new() };
    let detail = match named.as_slice() {
        [] => nothing.to_owned(),
        named => format!("{nothing}; left out: {}{more}", named.join("; ")),
    };
    reader.complain(Reason::NoTarget, "$", detail);
}

fn stated_pair(reader: &mut Reader, index: usize, item: &Value<'_>) -> Option<Paired> {
    let path = format!("$.targets[{index}]");
    let earlier = reader.problems.len();
    let Value::Object(fields) = item else {
        reader.complain(Reason::FormatOutput, &path, "a target must be an object");
        return None;
    };
    reader.only_known(fields, &["machine", "file", "role", "found_at"], &path);
    let found_at = match field(fields, "found_at") {
        Value::Object(places) => FoundAt {
            machine: text(places, "machine").map(ToOwned::to_owned),
            file: text(places, "file").map(ToOwned::to_owned),
        },
        _ => FoundAt::default(),
    };
    let machine_path = found_at.machine.clone().unwrap_or(format!("{path}.machine"));
    let file_path = found_at.file.clone().unwrap_or(format!("{path}.file"));
    let machine = reader.machine(field(fields, "machine"), &machine_path, &[]);
    let file = reader.file(field(fields, "file"), &file_path, &[]);
    let role = reader.role(fields, &path);
    let (machine, file) = (machine?, file?);
    let pair = EntityPair { machine, file, candidates: Vec::new(), found_at };
    (reader.problems.len() == earlier).then_some((pair, role))
}

/// Reads a device; one that is not named at all is none, and no mistake of anybody.
fn machine(reader: &mut Reader, index: usize, item: &Value<'_>) -> Option<Machine> {
    if !names_a_machine(item) {
        return None;
    }
    let (path, found_at) = place(item, format!("$.unpaired.machines[{index}]"));
    let entity = reader.machine(item, &path, &["found_at"])?;
    Some(Machine { entity, found_at })
}

fn file(reader: &mut Reader, index: usize, item: &Value<'_>) -> Option<File> {
    let (path, found_at) = place(item, format!("$.unpaired.files[{index}]"));
    let entity = reader.file(item, &path, &["found_at", "role"])?;
    let role = match item {
        Value::Object(fields) => reader.role(fields, &path),
        _ => None,
    };
    Some(File { entity, role, found_at })
}

/// Where something stood: as the format tells it, or its place in the format's answer.
fn place(item: &Value<'_>, otherwise: String) -> (String, Option<String>) {
    let told = match item {
        Value::Object(fields) => present(fields, "found_at").map(ToOwned::to_owned),
        _ => None,
    };
    (told.clone().unwrap_or(otherwise), told)
}

/// Refuses a pair in which one id was taken for the other.
fn is_swapped(reader: &mut Reader, pair: &EntityPair) -> bool {
    let of = |machine: &MachineEntity| machine.id.zip(pair.file.sha1);
    let swapped = |(id, sha1): (_, Sha1)| sha1.equals_machine(id);
    let all = pair.candidates.iter().chain([&pair.machine]);
    if !all.filter_map(of).any(swapped) {
        return false;
    }
    let path = pair.found_at.machine.as_deref().unwrap_or("$");
    let detail = "machine id and SHA1 are the same text: one was taken for the other";
    reader.complain(Reason::Machine, path, detail);
    true
}

pub(super) fn field<'a>(fields: &'a Object<'a>, name: &str) -> &'a Value<'a> {
    fields.get(name).unwrap_or(&Value::Null)
}

pub(super) fn text<'a>(fields: &'a Object<'a>, name: &str) -> Option<&'a str> {
    field(fields, name).as_str()
}

/// Returns a text that is there and not empty: senders write `""` for nothing.
pub(super) fn present<'a>(fields: &'a Object<'a>, name: &str) -> Option<&'a str> {
    text(fields, name).filter(|text| !text.trim().is_empty())
}

/// Makes words for people out of a text: one line, bounded, without characters that hide or reverse it.
pub(super) fn word(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() || c.is_whitespace() { ' ' } else { c }
    };
    let visible = text.chars().map(shown).filter(|c| !is_format_character(*c));
    visible.take(WORD_CHARS_MAX).collect::<String>().trim().to_owned()
}

fn is_format_character(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Says whether a text is an address that a browser would open, and not too long to keep.
pub fn is_web_address(url: &str) -> bool {
    let has_scheme = url.starts_with("https://") || url.starts_with("http://");
    has_scheme && url.len() <= URL_BYTES_MAX && url.bytes().all(|b| (b'!'..=b'~').contains(&b))
}

/// Reads the time of the alert: a text, or seconds or milliseconds since 1970 as a number or its text.
fn occurred_at(fields: &Object<'_>) -> Option<Timestamp> {
    let at = match field(fields, "occurred_at") {
        Value::Number(number) => since_1970(&number.to_string()),
        value => value.as_str().and_then(|text| since_1970(text.trim()).or_else(|| parse_time(text))),
    };
    at.filter(|at| at.as_second() >= SECONDS_FROM)
}

/// Reads `1769860800`, `1769860800.123` or `1769860800123`.
fn since_1970(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let number: i64 = whole.parse().ok()?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if number >= MILLIS_FROM {
        return Timestamp::from_millisecond(number).ok();
    }
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Timestamp::new(number, nanos.parse().ok()?).ok()
}
