//! Turns what a format's program answered into alerts, or says what is wrong with it and where.

use std::str::FromStr;

use jaq_json::{Map, Val};
use jiff::Timestamp;

use crate::alert::{
    Alert, AlertId, EntityPair, FileEntity, FoundAt, IdError, MachineEntity, MapProblem, Reason,
    RefusedAlert, Severity, Sha1, parse_time,
};

use super::value::as_str;

/// How many pairs one alert may name.
pub const TARGETS_MAX: usize = 100;

/// The longest title kept, in characters.
const TITLE_CHARS_MAX: usize = 500;

/// The longest address kept, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// Numbers above this are milliseconds since 1970, below it seconds: as seconds it would be the year 5138.
const MILLIS_FROM: i64 = 100_000_000_000;

/// What one value that a program answered holds.
#[derive(Debug)]
pub(super) struct Read {
    /// The alert, with its good pairs, if it has any.
    pub(super) alert: Option<Alert>,
    /// What is wrong with it, or with some of its pairs.
    pub(super) refused: Option<RefusedAlert>,
}

/// Reads one value that a program answered.
///
/// A pair that is wrong is left out and told; it does not stop the others, each of which stands for itself.
pub(super) fn alert(output: &Val) -> Read {
    let mut reader = Reader { problems: Vec::new() };
    let Val::Obj(fields) = output else {
        reader.complain(Reason::FormatOutput, "$", "the format must answer an object an alert");
        return Read { alert: None, refused: reader.refused(None) };
    };
    let known = ["alert_id", "severity", "title", "occurred_at", "url", "targets"];
    reader.only_known(fields, &known, "$");
    let alert_id = reader.alert_id(fields);
    let is_sound = reader.problems.is_empty();
    let targets = reader.targets(fields);
    let refused = reader.refused(alert_id.as_ref());
    let alert = alert_id.filter(|_| is_sound && !targets.is_empty()).map(|alert_id| Alert {
        alert_id,
        severity: text(fields, "severity").and_then(|word| Severity::from_str(word).ok()),
        title: title(text(fields, "title").unwrap_or_default()),
        occurred_at: occurred_at(fields),
        url: text(fields, "url").filter(|url| is_web_address(url)).map(ToOwned::to_owned),
        targets,
    });
    Read { alert, refused }
}

/// Collects problems, so that a sender sees all of them at once.
struct Reader {
    problems: Vec<MapProblem>,
}

impl Reader {
    fn refused(self, alert_id: Option<&AlertId>) -> Option<RefusedAlert> {
        let alert_id = alert_id.map(ToString::to_string);
        (!self.problems.is_empty()).then_some(RefusedAlert { alert_id, problems: self.problems })
    }

    fn complain(&mut self, reason: Reason, path: &str, detail: impl Into<String>) {
        self.problems.push(MapProblem { reason, path: path.to_owned(), detail: detail.into() });
    }

    /// A key that the form does not have is a slip in the format's program, and may hide a target.
    fn only_known(&mut self, fields: &Map, known: &[&str], path: &str) {
        for key in fields.keys().filter_map(as_str).filter(|key| !known.contains(key)) {
            let detail = format!("the format answers a field {key:?} that is not one of {known:?}");
            self.complain(Reason::FormatOutput, path, detail);
        }
    }

    fn alert_id(&mut self, fields: &Map) -> Option<AlertId> {
        let path = "$.alert_id";
        let digits = |value: &Val| matches!(value, Val::Num(_)).then(|| value.to_string());
        let value = field(fields, "alert_id");
        let Some(text) = as_str(value).map(ToOwned::to_owned).or_else(|| digits(value)) else {
            let detail = "the alert has no id: a text or a number is needed";
            self.complain(Reason::AlertId, path, detail);
            return None;
        };
        let id = text.parse();
        self.keep(Reason::AlertId, path, id)
    }

    fn keep<T>(&mut self, reason: Reason, path: &str, id: Result<T, IdError>) -> Option<T> {
        match id {
            Ok(id) => Some(id),
            Err(error) => {
                self.complain(reason, path, error.to_string());
                None
            }
        }
    }

    fn targets(&mut self, fields: &Map) -> Vec<EntityPair> {
        let Val::Arr(items) = field(fields, "targets") else {
            self.complain(Reason::FormatOutput, "$.targets", "targets must be an array");
            return Vec::new();
        };
        if items.is_empty() {
            let detail = "the alert names no file on a device that its source calls malicious or detected";
            self.complain(Reason::NoTarget, "$", detail);
        }
        if items.len() > TARGETS_MAX {
            let detail = format!("the alert names {} pairs; at most 100 are taken", items.len());
            self.complain(Reason::TooManyTargets, "$", detail);
            return Vec::new();
        }
        let mut pairs: Vec<EntityPair> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(pair) = self.pair(index, item) else {
                continue;
            };
            let same = |other: &EntityPair| {
                other.machine.key() == pair.machine.key() && other.file.key() == pair.file.key()
            };
            if !pairs.iter().any(same) {
                pairs.push(pair);
            }
        }
        pairs
    }

    fn pair(&mut self, index: usize, item: &Val) -> Option<EntityPair> {
        let path = format!("$.targets[{index}]");
        let earlier = self.problems.len();
        let Val::Obj(fields) = item else {
            self.complain(Reason::FormatOutput, &path, "a target must be an object");
            return None;
        };
        self.only_known(fields, &["machine", "file", "found_at"], &path);
        let found_at = match field(fields, "found_at") {
            Val::Obj(places) => FoundAt {
                machine: text(places, "machine").map(ToOwned::to_owned),
                file: text(places, "file").map(ToOwned::to_owned),
            },
            _ => FoundAt::default(),
        };
        let machine_path = found_at.machine.clone().unwrap_or(format!("{path}.machine"));
        let file_path = found_at.file.clone().unwrap_or(format!("{path}.file"));
        let machine = self.machine(field(fields, "machine"), &machine_path);
        let file = self.file(field(fields, "file"), &file_path);
        let (machine, file) = (machine?, file?);
        let swapped = |(id, sha1): (_, Sha1)| sha1.equals_machine(id);
        if machine.id.zip(file.sha1).is_some_and(swapped) {
            let detail = "machine id and SHA1 are the same text: one was taken for the other";
            self.complain(Reason::Machine, &machine_path, detail);
            return None;
        }
        let pair = EntityPair { machine, file, candidates: Vec::new(), found_at };
        (self.problems.len() == earlier).then_some(pair)
    }

    fn machine(&mut self, value: &Val, path: &str) -> Option<MachineEntity> {
        let Val::Obj(fields) = value else {
            self.complain(Reason::Machine, path, "the device is not named");
            return None;
        };
        self.only_known(fields, &["id", "dns_name"], path);
        let id = match present(fields, "id") {
            Some(text) => Some(self.keep(Reason::Machine, path, text.parse())?),
            None => None,
        };
        let dns_name = present(fields, "dns_name").map(title);
        if id.is_none() && dns_name.is_none() {
            self.complain(Reason::Machine, path, "the device has neither an id nor a name");
            return None;
        }
        Some(MachineEntity { id, dns_name, ..MachineEntity::default() })
    }

    fn file(&mut self, value: &Val, path: &str) -> Option<FileEntity> {
        let Val::Obj(fields) = value else {
            self.complain(Reason::File, path, "the file is not named");
            return None;
        };
        self.only_known(fields, &["sha1", "sha256", "name"], path);
        let sha1 = match present(fields, "sha1") {
            Some(text) => Some(self.keep(Reason::File, path, text.parse())?),
            None => None,
        };
        let sha256 = match present(fields, "sha256") {
            // With a SHA1 at hand a malformed SHA256 does no harm: it is not used.
            Some(text) if sha1.is_some() => text.parse().ok(),
            Some(text) => Some(self.keep(Reason::File, path, text.parse())?),
            None => None,
        };
        if sha1.is_none() && sha256.is_none() {
            self.complain(Reason::File, path, "the file has neither a SHA1 nor a SHA256");
            return None;
        }
        Some(FileEntity { sha1, sha256, md5: None, name: present(fields, "name").map(title) })
    }
}

fn field<'a>(fields: &'a Map, name: &str) -> &'a Val {
    fields.get(&Val::from(name.to_owned())).unwrap_or(&Val::Null)
}

fn text<'a>(fields: &'a Map, name: &str) -> Option<&'a str> {
    as_str(field(fields, name))
}

/// Returns a text that is there and not empty: senders write `""` for nothing.
fn present<'a>(fields: &'a Map, name: &str) -> Option<&'a str> {
    text(fields, name).filter(|text| !text.is_empty())
}

/// Makes a line for people out of a text: one line, bounded, without characters that hide or reverse it.
fn title(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() || c.is_whitespace() { ' ' } else { c }
    };
    let visible = text.chars().map(shown).filter(|c| !is_format_character(*c));
    visible.take(TITLE_CHARS_MAX).collect::<String>().trim().to_owned()
}

fn is_format_character(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn is_web_address(url: &str) -> bool {
    let has_scheme = url.starts_with("https://") || url.starts_with("http://");
    has_scheme && url.len() <= URL_BYTES_MAX && url.bytes().all(|b| (b'!'..=b'~').contains(&b))
}

/// Reads the time of the alert: a text, or a number of seconds or milliseconds since 1970.
fn occurred_at(fields: &Map) -> Option<Timestamp> {
    let value = field(fields, "occurred_at");
    if let Some(text) = as_str(value) {
        return parse_time(text);
    }
    let number: i64 = match value {
        Val::Num(number) => number.to_string().parse().ok()?,
        _ => return None,
    };
    if number >= MILLIS_FROM {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}
