//! Entries as events of the Open Cybersecurity Schema Framework (OCSF) 1.4.0, for whoever collects them.
//!
//! Calls are File Remediation Activity (7002), decisions and changes Detection Finding (2004), all else API Activity (6003).

use serde_json::{Map, Value, json};

use super::deed::{Administration, Answered, Deed};
use super::digest::Digest;
use super::entry::{Entry, Subject};

/// The version of the schema.
const OCSF: &str = "1.4.0";

/// A class, and in it an activity.
#[derive(Debug, Clone, Copy)]
struct Class {
    category: u32,
    uid: u32,
    activity: u32,
}

impl Class {
    /// Detection Finding: Update.
    const FINDING: Self = Self { category: 2, uid: 2004, activity: 2 };
    /// File Remediation Activity: Evict, for the process is stopped and the file taken away.
    const EVICT: Self = Self { category: 7, uid: 7002, activity: 2 };
    /// File Remediation Activity: Other, for a cancellation.
    const CANCEL: Self = Self { activity: 99, ..Self::EVICT };
    /// API Activity: Create.
    const CREATE: Self = Self { category: 6, uid: 6003, activity: 1 };
    /// API Activity: Update.
    const UPDATE: Self = Self { activity: 3, ..Self::CREATE };

    fn of(deed: &Deed) -> Self {
        match deed {
            Deed::Decision { .. } | Deed::Change { .. } => Self::FINDING,
            Deed::Intent { .. } | Deed::Outcome { .. } => Self::EVICT,
            Deed::CancelCall { .. } | Deed::CancelOutcome { .. } => Self::CANCEL,
            Deed::Checkpoint { .. } => Self::CREATE,
            Deed::Administration(_) | Deed::Configuration(_) | Deed::Restore { .. } => Self::UPDATE,
        }
    }

    /// The type of an event is its class and its activity in one number.
    fn type_uid(self) -> u32 {
        self.uid.saturating_mul(100).saturating_add(self.activity)
    }
}

/// Writes an entry as a line, without the newline. `text` is the entry as it is kept.
pub fn ocsf_line(entry: &Entry, text: &str, digest: Digest) -> String {
    let class = Class::of(&entry.deed);
    let mut event = common(entry, class);
    match class.uid {
        2004 => finding(&mut event, entry),
        7002 => remediation(&mut event, entry),
        _ => api(&mut event, entry),
    }
    event.insert("raw_data".to_owned(), json!(text));
    event.insert("unmapped".to_owned(), unmapped(entry, digest));
    Value::Object(event).to_string()
}

fn common(entry: &Entry, class: Class) -> Map<String, Value> {
    let correlation = entry.subject.as_ref().map(|subject| &subject.action);
    let mut metadata = json!({
        "version": OCSF, "uid": entry.seq.to_string(), "log_name": "audit", "event_code": entry.deed.kind(),
        "product": {"name": "quarantine-bridge", "vendor_name": "quarantine-bridge",
                    "version": env!("CARGO_PKG_VERSION")},
    });
    if let (Some(map), Some(action)) = (metadata.as_object_mut(), correlation) {
        map.insert("correlation_uid".to_owned(), json!(action));
    }
    let common = json!({
        "category_uid": class.category, "class_uid": class.uid, "activity_id": class.activity,
        "type_uid": class.type_uid(), "severity_id": 1, "time": entry.at, "message": entry.message(),
        "metadata": metadata,
    });
    let mut event = match common {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if class.uid == Class::EVICT.uid {
        // The profile that has the attribute `device`.
        event.entry("metadata").and_modify(|metadata| {
            if let Some(map) = metadata.as_object_mut() {
                map.insert("profiles".to_owned(), json!(["host"]));
            }
        });
    }
    if class.activity == 99 {
        event.insert("activity_name".to_owned(), json!("Cancel"));
    }
    event
}

/// Status: 1 new, 2 in progress, 4 resolved.
fn finding(event: &mut Map<String, Value>, entry: &Entry) {
    let subject = entry.subject.as_ref();
    let moves = entry.deed.moves();
    let state = moves.last().map(|last| last.to.as_str()).unwrap_or_default();
    let alert = subject.map(|subject| subject.alert_id.as_str()).unwrap_or_default();
    event.insert("finding_info".to_owned(), json!({"uid": alert, "title": format!("alert {alert}")}));
    event.insert("status_id".to_owned(), json!(99));
    event.insert("status".to_owned(), json!(state));
    let evidence: Vec<Value> = moves.iter().map(|it| json!({"data": it})).collect();
    event.insert("evidences".to_owned(), json!(evidence));
    if let Some(subject) = subject {
        event.insert("resources".to_owned(), json!(resources(subject)));
    }
}

fn resources(subject: &Subject) -> Vec<Value> {
    let device = subject.machine_id.as_ref().map(|id| json!({"type": "device", "uid": id}));
    let file = subject.sha1.as_ref().map(|sha1| json!({"type": "file", "uid": sha1}));
    device.into_iter().chain(file).collect()
}

fn remediation(event: &mut Map<String, Value>, entry: &Entry) {
    let subject = entry.subject.as_ref();
    let command = subject.map(|subject| subject.machine_action.as_ref().unwrap_or(&subject.action));
    let sha1 = subject.and_then(|subject| subject.sha1.as_deref()).unwrap_or_default();
    event.insert("command_uid".to_owned(), json!(command));
    event.insert(
        "file".to_owned(),
        json!({"name": sha1, "type_id": 1, "hashes": [{"algorithm_id": 2, "algorithm": "SHA-1", "value": sha1}]}),
    );
    let (status_id, status) = match entry.deed.answer() {
        None => (99, "about to be sent"),
        Some(answer) => (status_of(answer), answer.outcome.as_str()),
    };
    event.insert("status_id".to_owned(), json!(status_id));
    event.insert("status".to_owned(), json!(status));
    if let Some(machine) = subject.and_then(|subject| subject.machine_id.as_ref()) {
        event.insert("device".to_owned(), json!({"type_id": 0, "uid": machine}));
    }
    if let Some(answer) = entry.deed.answer() {
        event.insert("status_code".to_owned(), json!(answer.http_status.map(|status| status.to_string())));
        event.insert("status_detail".to_owned(), json!(answer.message));
    }
}

/// Status: 0 unknown, 1 success, 2 failure, 3 does not exist.
fn status_of(answer: &Answered) -> u32 {
    match answer.outcome.as_str() {
        "accepted" => 1,
        "unknown" => 0,
        "not_found" => 3,
        _ => 2,
    }
}

fn api(event: &mut Map<String, Value>, entry: &Entry) {
    let operation = match &entry.deed {
        Deed::Administration(Administration { act, .. }) => act.as_str().to_owned(),
        Deed::Configuration(read) => format!("configuration_{}", read.act.as_str()),
        deed => deed.kind().to_owned(),
    };
    let is_failure = matches!(&entry.deed, Deed::Configuration(read) if read.problem.is_some());
    event.insert("api".to_owned(), json!({"operation": operation, "service": {"name": "quarantine-bridge"}}));
    let user = match entry.token.as_ref().or(entry.principal.as_ref()) {
        Some(uid) => json!({"name": entry.who, "uid": uid}),
        None => json!({"name": entry.who}),
    };
    event.insert("actor".to_owned(), json!({"user": user}));
    event.insert("src_endpoint".to_owned(), json!({"svc_name": "quarantine-bridge"}));
    event.insert("status_id".to_owned(), json!(if is_failure { 2 } else { 1 }));
    if let Deed::Administration(done) = &entry.deed {
        let to = done.to.as_ref().or(entry.subject.as_ref().map(|subject| &subject.action));
        event.insert("resources".to_owned(), json!([{"type": "record", "uid": to}]));
    }
}

/// What the schema has no place for. The chain's digest is here: with `raw_data` the chain can be followed.
fn unmapped(entry: &Entry, digest: Digest) -> Value {
    json!({"hash": digest, "who": entry.who, "subject": entry.subject, "policy": entry.deed.policy()})
}
