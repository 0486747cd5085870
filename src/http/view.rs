//! How records look to callers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::alert::{
    Action, CancelCall, Cancellation, Change, Completion, Fetch, HeldReason, MachineEntity, Mode, Requested,
    Severity, Standing, State, Traceparent, Unsettled, before,
};
use crate::store::{ActionRecord, Attempt, DeliveryRecord, Hold, KeptWord, UndoMark, Unread};

/// How long an action may be Pending at Defender before the device is named as the reason.
pub(super) const DEVICE_IS_SLOW: SignedDuration = SignedDuration::from_mins(2);

/// One action with all that happened to it.
pub(super) fn action(record: &ActionRecord, now: Timestamp) -> Value {
    let action = &record.action;
    let (machine, file) = (&action.pair.machine, &action.pair.file);
    json!({
        "id": action.id.to_string(),
        "delivery_id": action.delivery_id.to_string(),
        "traceparent": record.traceparent.as_ref().map(Traceparent::as_str),
        "source": action.source.as_str(),
        "alert": {
            "id": action.alert_id.as_str(), "title": action.title, "severity": action.severity.map(Severity::as_str),
            "occurred_at": time(action.occurred_at), "url": action.url,
        },
        "machine": {
            "id": machine.id.map(|id| id.to_string()),
            "aad_device_id": machine.aad_device_id.map(|id| id.to_string()),
            "dns_name": machine.dns_name, "ip": machine.ip.map(|ip| ip.to_string()),
            "found_at": action.pair.found_at.machine,
        },
        "file": {
            "sha1": file.sha1.map(|it| it.to_string()), "sha256": file.sha256.map(|it| it.to_string()),
            "md5": file.md5.map(|it| it.to_string()),
            "name": file.name, "found_at": action.pair.found_at.file,
        },
        "target": action.target.map(|target| {
            json!({"machine_id": target.machine_id.to_string(), "sha1": target.sha1.to_string()})
        }),
        "comment": action.comment(),
        "candidates": action.pair.candidates.iter().map(machine_entity).collect::<Vec<_>>(),
        "requested": action.requested.as_ref().map(requested),
        "retry_of": action.retry_of.map(|id| id.to_string()),
        "retried_by": record.retried_by.map(|id| id.to_string()),
        "held_reason": action.held_reason.map(HeldReason::as_str),
        "completed": action.completion.as_ref().map(completion),
        "state": action.state.as_str(),
        "final": action.state.is_final(),
        "waiting_for": waiting_for(record, now),
        "waiting_for_device_since": time(waiting_for_device_since(action, now)),
        "cancellation": record.cancellation.as_ref().map(|it| cancellation(it, action.state)),
        "holds": holds(record),
        "approvals": record.words.iter().map(word).collect::<Vec<_>>(),
        "undo_mark": record.undo_mark.as_ref().filter(|mark| mark.until > now).map(undo_mark),
        "accepted_at": time(Some(action.accepted_at)),
        "changed_at": time(Some(action.changed_at)),
        "expires_at": time(action.expires_at),
        "machine_action": action.machine_action.as_ref().map(|it| {
            json!({"id": it.id.as_str(), "status": it.status, "since": time(Some(it.since))})
        }),
        "shared_with": record.shared_with.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "superseded_by": record.superseded_by.as_ref().map(|it| {
            json!({"machine_action_id": it.machine_action_id, "requestor": it.requestor, "status": it.status})
        }),
        "unread": record.unread.map(|it| unread(it, now)),
        "blocked_by": record.blocked_by.map(|id| id.to_string()),
        "attempts": record.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "history": record.history.iter().map(change).collect::<Vec<_>>(),
    })
}

/// What an unfinished action waits for, in words.
fn waiting_for(record: &ActionRecord, now: Timestamp) -> Option<String> {
    let action = &record.action;
    let text = match action.state {
        State::Accepted | State::Decided => "its decision",
        State::Resolving => "Defender, to learn which device and file are meant",
        State::Queued if record.blocked_by.is_some() => {
            "another action on the same device, whose call has no known outcome yet (blocked_by)"
        }
        State::Queued => "its turn in Defender's budget, or the end of a pause that the log explains",
        State::Sending => "Defender's answer",
        State::Uncertain if record.unread.is_some_and(|it| is_overdue(it, now)) => {
            "Defender's list of machine actions, which cannot be read: a person must make it readable"
        }
        State::Uncertain => "Defender's list of machine actions, to learn whether the call arrived",
        State::Held if action.held_reason.is_some() => "a person, to say which device or file is meant",
        State::Held => "a person",
        State::Submitted => {
            let wish = record.cancellation.as_ref();
            if wish.is_some_and(|wish| wish.standing(action.state) == Standing::Pending) {
                return Some("Defender, to cancel it".to_owned());
            }
            if let Some(since) = waiting_for_device_since(action, now) {
                let minutes = now.duration_since(since).as_mins();
                return Some(format!("the device: Pending at Defender for {minutes} min, it may be offline"));
            }
            "the device"
        }
        State::Succeeded
        | State::Failed
        | State::TimedOut
        | State::Cancelled
        | State::Denied
        | State::Expired
        | State::Shadowed
        | State::Superseded
        | State::Rejected => return None,
    };
    Some(text.to_owned())
}

/// Since when Defender waits for the device, if it has waited for so long that the device may be offline.
fn waiting_for_device_since(action: &Action, now: Timestamp) -> Option<Timestamp> {
    let record = action.machine_action.as_ref()?;
    let is_pending = action.state == State::Submitted && record.status.eq_ignore_ascii_case("pending");
    (is_pending && record.since <= before(now, DEVICE_IS_SLOW)).then_some(record.since)
}

fn cancellation(cancellation: &Cancellation, state: State) -> Value {
    let standing = cancellation.standing(state);
    let next_at = cancellation.next_at.filter(|_| standing == Standing::Pending);
    json!({
        "status": standing.as_str(), "by": cancellation.by.to_string(), "reason": cancellation.reason,
        "requested_at": time(Some(cancellation.requested_at)), "why": cancellation.why,
        "calls": cancellation.calls, "next_at": time(next_at),
        "last_call": cancellation.last_call.as_ref().map(cancel_call),
    })
}

/// The guards that hold it, and who has approved each.
fn holds(record: &ActionRecord) -> Vec<Value> {
    let by = |guard: &String| -> Vec<String> {
        let approving = record.words.iter().filter(|word| word.word.holds().contains(guard));
        approving.map(|word| word.who.to_string()).collect()
    };
    let one = |hold: &Hold| json!({"guard": hold.guard, "approvers": hold.approvers, "approved_by": by(&hold.guard)});
    record.holds.iter().map(one).collect()
}

fn word(word: &KeptWord) -> Value {
    json!({
        "word": word.word.as_str(), "by": word.who.to_string(), "holds": word.word.holds(), "reason": word.reason,
        "via": word.via.as_str(), "link_made_by": word.via.made_by().map(ToString::to_string), "at": time(Some(word.at)),
    })
}

/// A mark that keeps a quarantine from coming back.
pub(super) fn undo_mark(mark: &UndoMark) -> Value {
    json!({
        "machine_id": mark.target.machine_id.to_string(), "sha1": mark.target.sha1.to_string(),
        "at": time(Some(mark.at)), "until": time(Some(mark.until)), "by": mark.who.to_string(),
        "reason": mark.reason,
    })
}

fn cancel_call(call: &CancelCall) -> Value {
    json!({
        "at": time(Some(call.at)), "ended_at": time(call.ended_at), "outcome": call.outcome,
        "http_status": call.http_status, "code": call.code, "message": call.message,
        "correlation_id": call.correlation_id,
    })
}

fn unread(unread: Unread, now: Timestamp) -> Value {
    json!({
        "since": time(Some(unread.since)), "empty_reads": unread.empty_reads,
        "empty_read_at": time(unread.empty_read_at), "overdue": is_overdue(unread, now),
    })
}

fn is_overdue(unread: Unread, now: Timestamp) -> bool {
    now.duration_since(unread.since) > Unsettled::OVERDUE_AFTER
}

fn machine_entity(machine: &MachineEntity) -> Value {
    json!({
        "id": machine.id.map(|id| id.to_string()),
        "aad_device_id": machine.aad_device_id.map(|id| id.to_string()),
        "dns_name": machine.dns_name, "ip": machine.ip.map(|ip| ip.to_string()),
    })
}

fn requested(requested: &Requested) -> Value {
    json!({
        "by": requested.by.to_string(), "mode_max": requested.mode_max.map(Mode::as_str), "note": requested.note,
    })
}

fn completion(completion: &Completion) -> Value {
    json!({
        "machine_id": completion.machine_id.map(|id| id.to_string()),
        "sha1": completion.sha1.map(|sha1| sha1.to_string()),
        "by": completion.by.to_string(), "at": time(Some(completion.at)),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "n": attempt.n, "intent_at": time(Some(attempt.intent_at)), "ended_at": time(attempt.ended_at),
        "outcome": attempt.outcome, "http_status": attempt.http_status, "code": attempt.code,
        "message": attempt.message, "correlation_id": attempt.correlation_id,
    })
}

fn change(change: &Change) -> Value {
    json!({
        "at": time(Some(change.at)), "from": change.from.map(State::as_str), "to": change.to.as_str(),
        "why": change.why, "who": change.who.to_string(), "facts": change.facts,
    })
}

/// One delivery with its body.
pub(super) fn delivery(record: &DeliveryRecord) -> Value {
    let text = str::from_utf8(&record.body).ok();
    let encoded = text.is_none().then(|| STANDARD.encode(&record.body));
    json!({
        "id": record.id.to_string(), "source": record.source.as_str(), "delivery_key": record.delivery_key,
        "key_id": record.key_id, "signed_at": time(record.signed_at),
        "traceparent": record.traceparent.as_ref().map(Traceparent::as_str),
        "received_at": time(Some(record.received_at)), "outcome": record.outcome,
        "alert_ids": record.alert_ids, "refused": record.refused,
        "fetches": record.fetches.iter().map(fetch).collect::<Vec<_>>(), "body": text, "body_base64": encoded,
    })
}

fn fetch(fetch: &Fetch) -> Value {
    json!({
        "alert_id": fetch.alert_id.as_str(), "state": fetch.state.as_str(), "why": fetch.why,
        "attempts": fetch.attempts, "wanted_at": time(Some(fetch.wanted_at)), "next_at": time(fetch.next_at),
        "ended_at": time(fetch.ended_at),
    })
}

pub(super) fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| format!("{at:.3}"))
}
