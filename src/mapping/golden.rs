//! What a payload became, as JSON: the form of golden files, which are compared and kept.

use serde_json::{Map, Value, json};

use crate::alert::{Alert, EntityPair, FileEntity, MachineEntity, Severity};

use super::Mapped;
use super::evidence::{Evidence, Role};

/// Returns what a payload became: the alerts with their pairs, what was refused, and what was left out.
pub fn golden(mapped: &Mapped) -> Value {
    // Alerts with targets stand in the order of the evidence that has roles.
    let roles: Vec<_> = mapped.evidence.iter().filter(|it| !it.roles.is_empty()).collect();
    let alerts: Vec<Value> = mapped
        .alerts
        .iter()
        .map(|alert| {
            let is_of = |evidence: &&&Evidence| evidence.alert_id.as_deref() == Some(alert.alert_id.as_str());
            golden_alert(alert, roles.iter().find(is_of).map_or(&[], |evidence| &evidence.roles))
        })
        .collect();
    let left_out: Vec<Value> = mapped.evidence.iter().flat_map(left_out).collect();
    let mut all = json!({"alerts": alerts, "refused": mapped.refused, "left_out": left_out});
    if let Value::Object(all) = &mut all {
        let references = mapped.references.iter().map(|id| json!(id.as_str()));
        let notices = mapped.notices.iter().map(|notice| json!(notice.lifecycle.as_str()));
        // Most formats have neither.
        all.extend(some("references", references.collect()));
        all.extend(some("notices", notices.collect()));
    }
    all
}

fn some(name: &str, values: Vec<Value>) -> Option<(String, Value)> {
    (!values.is_empty()).then(|| (name.to_owned(), values.into()))
}

/// Returns what was left out of one alert.
pub fn left_out(evidence: &Evidence) -> Vec<Value> {
    let one = |it| {
        let mut fields = present([("alert_id", evidence.alert_id.clone())]);
        if let Value::Object(told) = json!(it) {
            fields.extend(told.into_iter().filter(|(_, value)| !value.is_null()));
        }
        Value::Object(fields)
    };
    evidence.left_out.iter().map(one).collect()
}

fn golden_alert(alert: &Alert, roles: &[Option<Role>]) -> Value {
    let roles = roles.iter().copied().chain(std::iter::repeat(None));
    let targets: Vec<Value> = alert.targets.iter().zip(roles).map(|(it, role)| pair(it, role)).collect();
    json!({
        "alert_id": alert.alert_id.as_str(), "severity": alert.severity.map(Severity::as_str),
        "title": alert.title, "occurred_at": alert.occurred_at.map(|at| at.to_string()), "url": alert.url,
        "targets": targets,
    })
}

fn pair(pair: &EntityPair, role: Option<Role>) -> Value {
    let mut fields = Map::new();
    fields.insert("machine".to_owned(), machine(&pair.machine));
    fields.insert("file".to_owned(), file(&pair.file));
    if let Some(role) = role {
        fields.insert("role".to_owned(), json!(role));
    }
    if pair.machine == MachineEntity::default() {
        fields.insert("candidates".to_owned(), pair.candidates.iter().map(machine).collect());
    }
    fields.insert("found_at".to_owned(), json!([pair.found_at.machine, pair.found_at.file]));
    Value::Object(fields)
}

/// Returns what an alert tells of a device.
pub fn machine(machine: &MachineEntity) -> Value {
    Value::Object(present([
        ("id", machine.id.map(|id| id.to_string())),
        ("aad_device_id", machine.aad_device_id.map(|id| id.to_string())),
        ("dns_name", machine.dns_name.clone()),
        ("ip", machine.ip.map(|ip| ip.to_string())),
    ]))
}

fn file(file: &FileEntity) -> Value {
    Value::Object(present([
        ("sha1", file.sha1.map(|it| it.to_string())),
        ("sha256", file.sha256.map(|it| it.to_string())),
        ("md5", file.md5.map(|it| it.to_string())),
        ("name", file.name.clone()),
    ]))
}

fn present<const N: usize>(fields: [(&str, Option<String>); N]) -> Map<String, Value> {
    let some = |(name, value): (&str, Option<String>)| Some((name.to_owned(), Value::String(value?)));
    fields.into_iter().filter_map(some).collect()
}
