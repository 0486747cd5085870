//! The trace of an action that has ended, as OTLP writes it in JSON. Pure.
//!
//! Everything comes from the action's own record, so a trace is the same whoever writes it and whenever: before or after a restart, once or
//! twice.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::alert::{Action, State};
use crate::store::{ActionRecord, Attempt};

/// Something that the bridge did itself, and something that it asked of others, as OTLP numbers them.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;

/// How it went, as OTLP numbers it.
const OK: u8 = 1;
const ERROR: u8 = 2;

/// The outcome of a call that Defender took.
const TAKEN: &str = "accepted";

/// Writes a request to a collector about these actions.
pub(super) fn request<'a>(records: impl IntoIterator<Item = &'a ActionRecord>) -> String {
    let spans: Vec<Value> = records.into_iter().flat_map(spans).collect();
    let resource = attributes(&[
        ("service.name", Some("quarantine-bridge".to_owned())),
        ("service.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
    ]);
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "quarantine-bridge"}, "spans": spans}],
    }]})
    .to_string()
}

/// The id of an action's trace: the action's own, without hyphens.
fn trace_id(action: &Action) -> String {
    action.id.to_string().replace('-', "")
}

/// The id of a span in its trace: the same each time that it is written.
fn span_id(action: &Action, place: &str) -> String {
    let digest = Sha256::digest(format!("{} {place}", action.id));
    hex::encode(digest).chars().take(16).collect()
}

/// One span before it is written.
struct Span {
    name: String,
    /// What tells it from others of its trace.
    place: String,
    kind: u8,
    begin: Timestamp,
    end: Timestamp,
    status: Option<u8>,
    attributes: Vec<Value>,
}

fn spans(record: &ActionRecord) -> Vec<Value> {
    let action = &record.action;
    let mut spans = vec![whole(record)];
    for (number, pair) in record.history.windows(2).enumerate() {
        // What a call was like, its attempt knows better.
        if let [from, to] = pair
            && from.to != State::Sending
        {
            spans.push(Span {
                name: doing(from.to).to_owned(),
                place: format!("state {number}"),
                kind: INTERNAL,
                begin: from.at,
                end: to.at,
                status: None,
                attributes: attributes(&[
                    ("quarantine_bridge.state", Some(from.to.to_string())),
                    ("quarantine_bridge.next_state", Some(to.to.to_string())),
                    ("quarantine_bridge.why", Some(to.why.clone())),
                ]),
            });
        }
    }
    for attempt in &record.attempts {
        spans.extend(call(record, attempt));
    }
    spans.push(at_end(record));
    let mut written: Vec<Value> = spans.into_iter().map(|span| written(action, &span)).collect();
    if let (Some(traceparent), Some(Value::Object(whole))) = (&record.traceparent, written.first_mut()) {
        let (trace_id, span_id) = traceparent.ids();
        // A link, not a parent: anybody can write it, and one delivery may bring many actions.
        whole.insert("links".to_owned(), json!([{"traceId": trace_id, "spanId": span_id}]));
    }
    written
}

/// The span that all others belong to.
fn whole(record: &ActionRecord) -> Span {
    let action = &record.action;
    let target = action.target.as_ref();
    let status = match action.state {
        State::Failed | State::TimedOut => Some(ERROR),
        State::Succeeded => Some(OK),
        _ => None,
    };
    Span {
        name: "action".to_owned(),
        place: "action".to_owned(),
        kind: INTERNAL,
        begin: action.accepted_at,
        end: action.changed_at,
        status,
        attributes: attributes(&[
            ("quarantine_bridge.action", Some(action.id.to_string())),
            ("quarantine_bridge.delivery", Some(action.delivery_id.to_string())),
            ("quarantine_bridge.source", Some(action.source.to_string())),
            ("quarantine_bridge.alert", Some(action.alert_id.to_string())),
            ("quarantine_bridge.state", Some(action.state.to_string())),
            ("quarantine_bridge.machine_id", target.map(|target| target.machine_id.to_string())),
            ("quarantine_bridge.sha1", target.map(|target| target.sha1.to_string())),
            ("quarantine_bridge.machine_action", action.machine_action.as_ref().map(|it| it.id.to_string())),
        ]),
    }
}

/// The intent of a call, and the call.
fn call(record: &ActionRecord, attempt: &Attempt) -> [Span; 2] {
    let number = Some(attempt.n.to_string());
    // Where the answer was lost, it is not known when it ended: its action went on then.
    let went_on = record.history.iter().map(|change| change.at).find(|at| *at > attempt.intent_at);
    let end = attempt.ended_at.or(went_on).unwrap_or(attempt.intent_at);
    let is_good = attempt.outcome.as_deref() == Some(TAKEN);
    let intent = Span {
        name: "intent".to_owned(),
        place: format!("intent {}", attempt.n),
        kind: INTERNAL,
        begin: attempt.intent_at,
        end: attempt.intent_at,
        status: None,
        attributes: attributes(&[("quarantine_bridge.attempt", number.clone())]),
    };
    let call = Span {
        name: "call".to_owned(),
        place: format!("call {}", attempt.n),
        kind: CLIENT,
        begin: attempt.intent_at,
        end: end.max(attempt.intent_at),
        status: Some(if is_good { OK } else { ERROR }),
        attributes: attributes(&[
            ("quarantine_bridge.attempt", number),
            ("quarantine_bridge.outcome", attempt.outcome.clone()),
            ("http.response.status_code", attempt.http_status.map(|status| status.to_string())),
            ("error.type", attempt.code.clone().filter(|_| !is_good)),
            ("quarantine_bridge.correlation_id", attempt.correlation_id.clone()),
        ]),
    };
    [intent, call]
}

/// The moment at which it was over.
fn at_end(record: &ActionRecord) -> Span {
    let action = &record.action;
    Span {
        name: action.state.to_string(),
        place: "end".to_owned(),
        kind: INTERNAL,
        begin: action.changed_at,
        end: action.changed_at,
        status: None,
        attributes: attributes(&[("quarantine_bridge.why", record.history.last().map(|it| it.why.clone()))]),
    }
}

/// What the bridge does with an action while it is in a state.
fn doing(state: State) -> &'static str {
    match state {
        State::Accepted => "accept",
        State::Resolving => "resolve",
        State::Decided => "decide",
        State::Held => "hold",
        State::Queued => "queue",
        State::Sending => "send",
        State::Uncertain => "reconcile",
        State::Submitted => "track",
        _ => "end",
    }
}

fn written(action: &Action, span: &Span) -> Value {
    let nanos = |at: Timestamp| at.as_nanosecond().max(0).to_string();
    let mut value = json!({
        "traceId": trace_id(action),
        "spanId": span_id(action, &span.place),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": nanos(span.begin),
        // A clock that was set back between the two gives no span that ends before it begins.
        "endTimeUnixNano": nanos(span.end.max(span.begin)),
        "attributes": span.attributes,
    });
    if let Value::Object(fields) = &mut value {
        if span.place != "action" {
            fields.insert("parentSpanId".to_owned(), json!(span_id(action, "action")));
        }
        if let Some(code) = span.status {
            fields.insert("status".to_owned(), json!({"code": code}));
        }
    }
    value
}

/// Attributes that have a value.
fn attributes(pairs: &[(&str, Option<String>)]) -> Vec<Value> {
    let known = pairs.iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
    known.map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}
