//! Reads devices and files as formats answer them, and says what is wrong with them.

use core::net::IpAddr;
use std::str::FromStr;

use crate::alert::{
    AadDeviceId, FileEntity, IdError, MachineEntity, MachineId, MapProblem, Reason, is_of_one_device,
};

use super::evidence::{LeftOut, Role, Why};
use super::object::Object;
use super::output::{field, present, text, word};
use super::value::Value;

/// The longest DNS name, in characters (RFC 1035).
const DNS_NAME_CHARS_MAX: usize = 253;

/// What a device may be named by.
const MACHINE_FIELDS: &[&str] = &["id", "aad_device_id", "dns_name", "ip"];

/// What senders write for a device that they do not know.
const NO_NAMES: &[&str] =
    &["localhost", "localhost.localdomain", "unknown", "n/a", "na", "none", "null", "undefined", "-"];

/// Collects problems, so that a sender sees all of them at once, and what was left out on the way.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<MapProblem>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Reader {
    pub(super) fn complain(&mut self, reason: Reason, path: &str, detail: impl Into<String>) {
        self.problems.push(MapProblem { reason, path: path.to_owned(), detail: detail.into() });
    }

    /// A key that the form does not have is a slip in the format's program, and may hide a target.
    pub(super) fn only_known(&mut self, fields: &Object<'_>, known: &[&str], path: &str) {
        for key in fields.keys().filter(|key| !known.contains(&&***key)) {
            let detail = format!("the format answers a field {key:?} that is not one of {known:?}");
            self.complain(Reason::FormatOutput, path, detail);
        }
    }

    pub(super) fn keep<T>(&mut self, reason: Reason, path: &str, id: Result<T, IdError>) -> Option<T> {
        match id {
            Ok(id) => Some(id),
            Err(error) => {
                self.complain(reason, path, error.to_string());
                None
            }
        }
    }

    /// Reads a field that holds an id; `Err` if what it holds is none.
    fn id<T: FromStr<Err = IdError>>(
        &mut self,
        fields: &Object<'_>,
        name: &str,
        path: &str,
    ) -> Result<Option<T>, ()> {
        match present(fields, name) {
            Some(text) => self.keep(Reason::Machine, path, text.parse()).map(Some).ok_or(()),
            None => Ok(None),
        }
    }

    /// Reads a device. `known` are the fields that may stand in it besides those of the device.
    pub(super) fn machine(&mut self, value: &Value<'_>, path: &str, known: &[&str]) -> Option<MachineEntity> {
        let Value::Object(fields) = value else {
            self.complain(Reason::Machine, path, "the device is not named");
            return None;
        };
        self.only_known(fields, &[MACHINE_FIELDS, known].concat(), path);
        let id: Option<MachineId> = self.id(fields, "id", path).ok()?;
        let nil = |text: &str| text.chars().all(|c| c == '0' || c == '-');
        let aad_device_id: Option<AadDeviceId> = match present(fields, "aad_device_id") {
            Some(text) if nil(text) => None,
            _ => self.id(fields, "aad_device_id", path).ok()?,
        };
        let given = present(fields, "dns_name").filter(|name| names_something(name));
        // Some senders write the address where the name belongs.
        let as_address = given.and_then(|name| IpAddr::from_str(name).ok());
        let dns_name = match given {
            Some(name) if as_address.is_none() => self.dns_name(name, id.is_some(), path).ok()?,
            _ => None,
        };
        let ip = present(fields, "ip").and_then(|ip| IpAddr::from_str(ip.trim()).ok()).or(as_address);
        let ip = ip.filter(|ip| is_of_one_device(*ip));
        let entity = MachineEntity { id, aad_device_id, dns_name, ip };
        if entity == MachineEntity::default() {
            self.complain(Reason::Machine, path, "the device has neither an id nor a name nor an address");
            return None;
        }
        Some(entity)
    }

    /// Reads a host name; beside an id it is for people only, so that what is no name does no harm there.
    fn dns_name(&mut self, given: &str, has_id: bool, path: &str) -> Result<Option<String>, ()> {
        let name = given.trim().trim_end_matches('.');
        let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '.';
        if name.chars().count() <= DNS_NAME_CHARS_MAX && name.chars().all(plain) && !name.starts_with('.') {
            return Ok(Some(name.to_owned()));
        }
        if has_id {
            return Ok(None);
        }
        let detail = format!("{:?} is no host name", word(given).chars().take(80).collect::<String>());
        self.complain(Reason::Machine, path, detail);
        Err(())
    }

    /// Reads a file. One good hash is enough: a wrong one beside it is left out and told.
    pub(super) fn file(&mut self, value: &Value<'_>, path: &str, known: &[&str]) -> Option<FileEntity> {
        let Value::Object(fields) = value else {
            self.complain(Reason::File, path, "the file is not named");
            return None;
        };
        self.only_known(fields, &[&["sha1", "sha256", "md5", "name"], known].concat(), path);
        let mut wrong = Vec::new();
        let file = FileEntity {
            sha1: hash(fields, "sha1", &mut wrong),
            sha256: hash(fields, "sha256", &mut wrong),
            md5: hash(fields, "md5", &mut wrong),
            name: present(fields, "name").map(word),
        };
        if file.key().is_empty() {
            let nothing = "the file has neither a SHA1 nor a SHA256 nor an MD5".to_owned();
            let details = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            self.complain(Reason::File, path, if details.is_empty() { nothing } else { details });
            return None;
        }
        let role = text(fields, "role").and_then(Role::named);
        self.left_out.extend(wrong.iter().map(|error| LeftOut {
            name: Some(word(&error.to_string())),
            role,
            why: if matches!(error, IdError::Placeholder(_)) { Why::Placeholder } else { Why::MalformedHash },
            found_at: Some(path.to_owned()),
        }));
        Some(file)
    }

    pub(super) fn role(&mut self, fields: &Object<'_>, path: &str) -> Option<Role> {
        let given = present(fields, "role")?;
        let role = Role::named(given);
        if role.is_none() {
            let detail = format!("the format answers a role {given:?} that is not one of {:?}", Role::all());
            self.complain(Reason::FormatOutput, path, detail);
        }
        role
    }

    /// Reads the list of what the format left out.
    pub(super) fn left_out(&mut self, fields: &Object<'_>) {
        let items = match field(fields, "left_out") {
            Value::Null => return,
            Value::Array(items) => items,
            _ => return self.complain(Reason::FormatOutput, "$.left_out", "left_out must be an array"),
        };
        for (index, item) in items.items().iter().enumerate() {
            let path = format!("$.left_out[{index}]");
            let Value::Object(fields) = item else {
                self.complain(Reason::FormatOutput, &path, "what is left out must be an object");
                continue;
            };
            self.only_known(fields, &["name", "role", "why", "found_at"], &path);
            let role = self.role(fields, &path);
            let given = text(fields, "why").unwrap_or_default();
            let Some(why) = Why::named(given) else {
                let detail =
                    format!("the format answers a why {given:?} that is not one of {:?}", Why::all());
                self.complain(Reason::FormatOutput, &path, detail);
                continue;
            };
            let name = present(fields, "name").map(word);
            let found_at = present(fields, "found_at").map(ToOwned::to_owned);
            self.left_out.push(LeftOut { name, role, why, found_at });
        }
    }
}

/// Reads a hash; one that is wrong goes to `wrong`.
fn hash<T: FromStr<Err = IdError>>(fields: &Object<'_>, name: &str, wrong: &mut Vec<IdError>) -> Option<T> {
    match present(fields, name)?.parse() {
        Ok(hash) => Some(hash),
        Err(error) => {
            wrong.push(error);
            None
        }
    }
}

/// Says whether a device is named by anything, be it well or badly.
pub(super) fn names_a_machine(value: &Value<'_>) -> bool {
    let Value::Object(fields) = value else {
        return !matches!(value, Value::Null);
    };
    let named = |name: &str| present(fields, name).is_some_and(names_something);
    MACHINE_FIELDS.iter().any(|name| named(name))
}

fn names_something(name: &str) -> bool {
    !NO_NAMES.contains(&name.trim().to_ascii_lowercase().as_str())
}
