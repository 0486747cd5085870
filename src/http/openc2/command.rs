//! Reads a command: OpenC2's language 1.0, with what its profile of endpoint response adds to `contain file`. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::alert::{MachineId, from_millis};

use super::super::asked::{Asked, AskedFile, AskedMachine};
use super::response::Refused;
use super::words;

/// The severity of a command that names none. OpenC2 has no word for it: whoever commands has judged already.
const SEVERITY: &str = "high";

/// The longest id of a command, in characters (language 1.0, 3.4.2.16).
const COMMAND_ID_CHARS_MAX: usize = 36;

/// What `query features` may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Feature {
    Versions,
    Profiles,
    Pairs,
    RateLimit,
}

/// When a response is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wish {
    /// Never.
    None,
    /// When the command has come.
    Ack,
    /// Now, however it stands.
    Status,
    /// When it is done.
    #[default]
    Complete,
}

/// A command that is understood.
pub(super) enum Command {
    /// `query features`.
    Query(BTreeSet<Feature>),
    /// `contain file`.
    Contain(Box<Contain>),
}

/// A file to be quarantined on a device.
pub(super) struct Contain {
    /// Under which it may be sent again.
    pub(super) id: String,
    /// The same for whatever is the same command.
    pub(super) digest: [u8; 32],
    /// As `POST /v1/actions` would be asked.
    pub(super) asked: Asked,
    pub(super) wish: Wish,
}

/// What OpenC2 may have beside what is read.
type Others = Map<String, Value>;

/// A body: a message with a command in it, or a command alone.
#[derive(Deserialize)]
struct Sent {
    headers: Option<Headers>,
    body: Option<Body>,
    action: Option<String>,
    target: Option<Target>,
    args: Option<Args>,
    actuator: Option<Actuator>,
    command_id: Option<String>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    created: Option<u64>,
    // Read with the envelope.
    #[serde(rename = "request_id")]
    _request_id: Option<String>,
    #[serde(rename = "from")]
    _from: Option<String>,
    #[serde(rename = "to")]
    _to: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    openc2: Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    request: Request,
}

/// What is commanded. It is written again for its digest, all but when a response is wanted.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Request {
    action: String,
    target: Target,
    args: Option<Args>,
    actuator: Option<Actuator>,
    #[serde(skip_serializing)]
    command_id: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Target {
    features: Option<Vec<String>>,
    file: Option<File>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize)]
struct File {
    name: Option<String>,
    hashes: Option<Hashes>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize)]
struct Hashes {
    sha1: Option<String>,
    sha256: Option<String>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize, Default)]
struct Args {
    #[serde(skip_serializing)]
    response_requested: Option<Wish>,
    er: Option<EndpointArgs>,
    #[serde(rename = "x-qbridge")]
    ours: Option<Ours>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize)]
struct EndpointArgs {
    downstream_device: Option<Downstream>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize)]
struct Downstream {
    devices: Option<Vec<Device>>,
    tenant_id: Option<String>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize)]
struct Device {
    hostname: Option<String>,
    #[serde(rename = "device_id")]
    id: Option<String>,
    #[serde(flatten)]
    other: Others,
}

#[derive(Deserialize, Serialize)]
struct Actuator {
    er: Option<Others>,
    #[serde(flatten)]
    other: Others,
}

/// What an alert has and OpenC2 has no words for, in a name-space of our own (language 1.0, 3.1.4).
#[derive(Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields)]
struct Ours {
    alert_id: Option<String>,
    severity: Option<String>,
    title: Option<String>,
    occurred_at: Option<String>,
    url: Option<String>,
    mode: Option<String>,
    note: Option<String>,
}

/// What a command is read with.
pub(super) struct Reading<'a> {
    /// The id of the request, which stands for a command's own.
    pub(super) request_id: Option<&'a str>,
    /// The tenant whose devices are reached.
    pub(super) tenant_id: &'a str,
    /// When it came: a command without a time is of now (language 1.0, 3.3.1.4).
    pub(super) now: String,
}

impl Reading<'_> {
    /// Reads a body.
    pub(super) fn read(&self, body: &[u8]) -> Result<Command, Refused> {
        let malformed = |error: serde_json::Error| Refused::malformed(error.to_string());
        let sent: Sent = serde_json::from_slice(body).map_err(malformed)?;
        if has_null(&serde_json::from_slice(body).map_err(malformed)?) {
            return Err(Refused::malformed("OpenC2 has no null: what is not there is left out"));
        }
        let created = sent.headers.as_ref().and_then(|headers| headers.created);
        let request = commanded(sent)?;
        if let Some(actuator) = &request.actuator {
            here(actuator)?;
        }
        match (request.action.as_str(), &request.target) {
            ("query", Target { features: Some(features), file: None, other }) if other.is_empty() => {
                query(features, request.args.as_ref())
            }
            ("contain", Target { features: None, file: Some(_), other }) if other.is_empty() => {
                self.contain(request, created)
            }
            (action, target) => Err(not_done(action, target)),
        }
    }

    fn contain(&self, request: Request, created: Option<u64>) -> Result<Command, Refused> {
        let id = self.id(request.command_id.as_deref())?;
        let digest = digest(&request)?;
        let Request { target, args, .. } = request;
        let args = args.unwrap_or_default();
        only("args", &args.other, words::ARGUMENTS)?;
        let (machine, file) = (self.device(args.er)?, target.file.map(hashed).transpose()?);
        let ours = args.ours.unwrap_or_default();
        let created = created.and_then(|millis| i64::try_from(millis).ok()).map(from_millis);
        let occurred_at = ours.occurred_at.or_else(|| created.map(|at| at.to_string()));
        let asked = Asked {
            alert_id: ours.alert_id.or_else(|| Some(id.clone())),
            severity: ours.severity.or_else(|| Some(SEVERITY.to_owned())),
            title: ours.title,
            occurred_at: occurred_at.or_else(|| Some(self.now.clone())),
            url: ours.url,
            machine: Some(machine),
            file,
            mode: ours.mode,
            note: ours.note,
        };
        let wish = args.response_requested.unwrap_or_default();
        Ok(Command::Contain(Box::new(Contain { id, digest, asked, wish })))
    }

    /// A command without an id has its request's (language 1.0, 3.3.1). One without either could not be sent again.
    fn id(&self, command_id: Option<&str>) -> Result<String, Refused> {
        let is_sound = |id: &str| {
            (1..=COMMAND_ID_CHARS_MAX).contains(&id.chars().count()) && !id.chars().any(char::is_whitespace)
        };
        match command_id {
            Some(id) if is_sound(id) => Ok(id.to_owned()),
            Some(_) => Err(Refused::malformed("command_id must be 1 to 36 characters without white space")),
            None => self.request_id.map(ToOwned::to_owned).ok_or_else(|| {
                Refused::malformed(
                    "the command needs a command_id, or its request a request_id or X-Request-ID",
                )
            }),
        }
    }

    fn device(&self, args: Option<EndpointArgs>) -> Result<AskedMachine, Refused> {
        let args = args.ok_or_else(Refused::no_device)?;
        only("args.er", &args.other, words::ENDPOINT_ARGUMENTS)?;
        let downstream = args.downstream_device.ok_or_else(Refused::no_device)?;
        // The tenant comes first: in another one, the same name is another device.
        if downstream.tenant_id.as_deref().is_some_and(|tenant| !tenant.eq_ignore_ascii_case(self.tenant_id))
        {
            return Err(Refused::not_found("tenant_id is not the tenant of this bridge"));
        }
        only("downstream_device", &downstream.other, words::DOWNSTREAM)?;
        let mut devices = downstream.devices.unwrap_or_default().into_iter();
        let device = devices.next().ok_or_else(Refused::no_device)?;
        if devices.next().is_some() {
            return Err(Refused::not_done(
                "More than one device is not supported: send one command for each",
            ));
        }
        only("devices", &device.other, words::DEVICE)?;
        if device.hostname.is_none() && device.id.is_none() {
            return Err(Refused::no_device());
        }
        let (id, aad_device_id) = match device.id {
            Some(id) if id.parse::<MachineId>().is_ok() => (Some(id), None),
            other => (None, other),
        };
        Ok(AskedMachine { id, aad_device_id, dns_name: device.hostname, ip: None })
    }
}

/// Takes the command out of its message, or as it is.
fn commanded(sent: Sent) -> Result<Request, Refused> {
    only("the message", &sent.other, words::MESSAGE)?;
    let Sent { headers, body, action, target, args, actuator, command_id, .. } = sent;
    match (body, action, target) {
        (Some(body), None, None) if args.is_none() && actuator.is_none() && command_id.is_none() => {
            Ok(body.openc2.request)
        }
        (None, Some(action), Some(target)) if headers.is_none() => {
            Ok(Request { action, target, args, actuator, command_id })
        }
        _ => Err(Refused::malformed("the body must be one message with a command in it, or one command")),
    }
}

fn query(features: &[String], args: Option<&Args>) -> Result<Command, Refused> {
    if let Some(args) = args {
        let has_more = args.er.is_some() || args.ours.is_some() || !args.other.is_empty();
        if has_more || args.response_requested.is_some_and(|wish| wish != Wish::Complete) {
            let text = "query features takes no argument but response_requested: complete";
            return Err(Refused::malformed(text));
        }
    }
    let feature = |name: &String| {
        let known = serde_json::from_value(Value::String(name.clone()));
        known.map_err(|error| Refused::malformed(format!("target.features: {error}")))
    };
    features.iter().map(feature).collect::<Result<_, _>>().map(Command::Query)
}

/// Says why a pair of action and target is not done.
fn not_done(action: &str, target: &Target) -> Refused {
    let Target { features, file, other } = target;
    let count = usize::from(features.is_some()).saturating_add(usize::from(file.is_some()));
    let unknown = other.keys().find(|name| !words::TARGETS.contains(&name.as_str()) && !name.contains(':'));
    if !words::ACTIONS.contains(&action) {
        Refused::malformed("OpenC2 has no such action")
    } else if count.saturating_add(other.len()) != 1 {
        Refused::malformed("the command must have exactly one target")
    } else if unknown.is_some() {
        Refused::malformed("OpenC2 has no such target")
    } else if action == "contain" && features.is_none() {
        Refused::not_done("Target type not supported")
    } else if matches!(action, "contain" | "query") {
        Refused::malformed("contain and features, or query and anything else, are no pair")
    } else {
        Refused::not_done("Command not supported")
    }
}

/// Another actuator, or one that is named more closely, is not here.
fn here(actuator: &Actuator) -> Result<(), Refused> {
    if actuator.other.is_empty() && actuator.er.as_ref().is_none_or(Map::is_empty) {
        return Ok(());
    }
    Err(Refused::not_found("the only actuator here is er, without specifiers"))
}

fn hashed(file: File) -> Result<AskedFile, Refused> {
    only("target.file", &file.other, words::FILE)?;
    let hashes =
        file.hashes.ok_or_else(|| Refused::not_done("A file is known by its sha1 or sha256 only"))?;
    only("target.file.hashes", &hashes.other, words::HASHES)?;
    Ok(AskedFile { sha1: hashes.sha1, sha256: hashes.sha256, name: file.name })
}

/// Refuses what is beside what is read: nothing of a command is done without the rest of it.
fn only(place: &str, other: &Others, known: &[&str]) -> Result<(), Refused> {
    match other.keys().next() {
        None => Ok(()),
        Some(name) if known.contains(&name.as_str()) => {
            Err(Refused::not_done(format!("Argument not supported: {name} of {place}")))
        }
        Some(_) => Err(Refused::malformed(format!("{place} has a member that OpenC2 does not have"))),
    }
}

fn digest(request: &Request) -> Result<[u8; 32], Refused> {
    let text = serde_json::to_vec(request).map_err(|error| Refused::malformed(error.to_string()))?;
    Ok(Sha256::digest(text).into())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
    }
}
