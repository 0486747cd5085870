//! What of the audit is an event, and how a message tells it. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alert::{ActionId, EventType, HeldReason, Severity, State, Traceparent, from_millis};
use crate::audit::Entry;
use crate::public_url::PublicUrl;
use crate::store::{ActionRecord, AuditRow};

/// An event that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// What tells it from all others, for good: the digest of its entry, which a restore from a backup does not give again.
    pub(super) id: String,
    pub(super) kind: EventType,
    pub(super) at: Timestamp,
    pub(super) action: ActionId,
    pub(super) source: String,
    alert_id: String,
    target: Option<(String, String)>,
    machine_action: Option<String>,
    state: State,
    why: String,
    by: String,
}

/// Returns the event that an entry tells of, if it is one: the state in which it has left its action.
pub(super) fn of(row: &AuditRow) -> Result<Option<Event>, serde_json::Error> {
    let entry = Entry::read(row.text.as_bytes())?;
    let digest: String = row.digest.to_string().chars().take(32).collect();
    Ok(event(format!("evt_{digest}"), &entry))
}

fn event(id: String, entry: &Entry) -> Option<Event> {
    let (subject, last, state) = entry.last_move()?;
    let kind = match state {
        State::Held => EventType::Held,
        state if state.is_final() => EventType::Finished,
        _ => return None,
    };
    Some(Event {
        id,
        kind,
        at: from_millis(entry.at),
        action: subject.action.parse().ok()?,
        source: subject.source.clone(),
        alert_id: subject.alert_id.clone(),
        target: subject.machine_id.clone().zip(subject.sha1.clone()),
        machine_action: subject.machine_action.clone(),
        state,
        why: last.why.clone(),
        by: last.who.clone(),
    })
}

/// Returns the reminder of an action that waits for a person.
pub(super) fn reminder(id: String, record: &ActionRecord, now: Timestamp) -> Event {
    let action = &record.action;
    let last = record.history.last();
    Event {
        id,
        kind: EventType::Reminder,
        at: now,
        action: action.id,
        source: action.source.to_string(),
        alert_id: action.alert_id.to_string(),
        target: action.target.map(|it| (it.machine_id.to_string(), it.sha1.to_string())),
        machine_action: None,
        state: action.state,
        why: last.map(|change| change.why.clone()).unwrap_or_default(),
        by: last.map(|change| change.who.to_string()).unwrap_or_default(),
    }
}

impl Event {
    /// Writes what is sent. What is known of the action besides is as it is now; it may have moved on since.
    pub(super) fn body(&self, record: Option<&ActionRecord>, public_url: Option<&PublicUrl>) -> String {
        let action = record.map(|record| &record.action);
        let is_there_still = action.filter(|action| action.state == self.state);
        let holds = record.filter(|record| record.action.state == self.state && self.state == State::Held);
        let holds: Vec<&str> =
            holds.iter().flat_map(|it| &it.holds).map(|hold| hold.guard.as_str()).collect();
        json!({
            "type": self.kind.as_str(),
            "timestamp": time(self.at),
            "data": {
                "id": self.action.to_string(),
                "url": public_url.map(|public| public.to(&format!("/v1/actions/{}", self.action))),
                "source": self.source,
                "traceparent": record.and_then(|record| record.traceparent.as_ref()).map(Traceparent::as_str),
                "alert": {
                    "id": self.alert_id,
                    "title": action.map(|action| &action.title),
                    "severity": action.and_then(|action| action.severity).map(Severity::as_str),
                    "occurred_at": action.and_then(|action| action.occurred_at).map(time),
                    "url": action.and_then(|action| action.url.as_ref()),
                },
                "target": self.target.as_ref().map(|(machine_id, sha1)| json!({"machine_id": machine_id, "sha1": sha1})),
                "machine_action_id": self.machine_action,
                "state": self.state.as_str(),
                "final": self.state.is_final(),
                "why": self.why,
                "by": self.by,
                "held_reason": is_there_still.and_then(|action| action.held_reason).map(HeldReason::as_str),
                "holds": holds,
                "accepted_at": action.map(|action| time(action.accepted_at)),
                "changed_at": time(is_there_still.map_or(self.at, |action| action.changed_at)),
                "expires_at": is_there_still.and_then(|action| action.expires_at).map(time),
            },
        })
        .to_string()
    }
}

fn time(at: Timestamp) -> Value {
    json!(format!("{at:.3}"))
}
