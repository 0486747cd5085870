//! Says what an answer of Defender means for an action. Pure.
//!
//! The table is in reference/defender-api.md, section 1.4. The HTTP status decides first; the body is read
//! leniently.

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{CancelOutcome, MachineActionRef, Outcome, Refusal, Target, parse_time};
use crate::microsoft::{Answer, is_success, refusal, text, throttle_wait};

use super::machine_actions::machine_action;

/// Classifies the answer to a quarantine call for a file on a device.
pub fn classify(answer: &Answer, target: Target, now: Timestamp) -> Outcome {
    let status = answer.status;
    if is_success(status) {
        return accepted(answer, target, now);
    }
    let refusal = refusal(answer);
    match status {
        401 => Outcome::Unauthorized(refusal),
        429 => Outcome::Throttled { wait: throttle_wait(answer, &refusal.message, now), refusal },
        400 if says_active_request(&refusal) => Outcome::ActiveRequest(refusal),
        // Never seen from this API, and none of them proves that nothing happened.
        408 | 409 | 423 | 425 => unknown(&refusal),
        403 if !is_about_this_one(&refusal) => Outcome::Forbidden(refusal),
        404 if says_not_found(&refusal) => Outcome::NotFound(refusal),
        400..=499 => Outcome::Refused(refusal),
        _ => unknown(&refusal),
    }
}

/// Classifies the answer to a cancel call. That Defender took it was seen without the action being cancelled, so the answer is
/// never the last word (reference, defender-api 2).
pub fn classify_cancel(answer: &Answer, now: Timestamp) -> CancelOutcome {
    if is_success(answer.status) {
        return CancelOutcome::Taken;
    }
    let refusal = refusal(answer);
    match answer.status {
        401 => CancelOutcome::Unauthorized(refusal),
        403 => CancelOutcome::Forbidden(refusal),
        408 | 423 | 425 => CancelOutcome::Unknown { why: refusal.to_string(), status: Some(answer.status) },
        429 => CancelOutcome::Throttled { wait: throttle_wait(answer, &refusal.message, now), refusal },
        400..=499 => CancelOutcome::Refused(refusal),
        _ => CancelOutcome::Unknown { why: refusal.to_string(), status: Some(answer.status) },
    }
}

/// A second call may be answered with the machine action that is open on the device, whatever that does (reference,
/// defender-api 0.2).
fn accepted(answer: &Answer, target: Target, now: Timestamp) -> Outcome {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let id = text(&body, "id").and_then(|id| id.parse().ok());
    let Some((id, status)) = id.zip(text(&body, "status")) else {
        let why = "Defender answered success without the id and status of a machine action";
        return Outcome::Unknown { why: why.to_owned(), status: Some(answer.status) };
    };
    if is_another(&body, target) {
        let message = format!("it was answered with machine action {id}, of another device, file or type");
        let status = answer.status;
        return Outcome::ActiveRequest(Refusal {
            status,
            code: String::new(),
            message,
            correlation_id: None,
        });
    }
    let created = text(&body, "creationDateTimeUtc").and_then(|at| parse_time(&at));
    Outcome::Accepted(MachineActionRef { id, status, since: created.unwrap_or(now) })
}

fn is_another(body: &Value, target: Target) -> bool {
    let is_other_type = |word: String| !word.eq_ignore_ascii_case("StopAndQuarantineFile");
    text(body, "type").is_some_and(is_other_type)
        || machine_action(body).is_some_and(|record| record.is_about_another(target))
}

fn unknown(refusal: &Refusal) -> Outcome {
    Outcome::Unknown { why: refusal.to_string(), status: Some(refusal.status) }
}

/// The code is documented for a sister action, the message is what was seen (reference 0.1).
fn says_active_request(refusal: &Refusal) -> bool {
    refusal.code.eq_ignore_ascii_case("ActiveRequestAlreadyExists")
        || refusal.message.to_ascii_lowercase().contains("already in progress")
}

/// The one code of a 403 that is about the file or device alone; every other one, and none, is about us
/// (reference, defender-api 1.4). In doubt it is about us: then nothing is lost, only held.
fn is_about_this_one(refusal: &Refusal) -> bool {
    refusal.code.eq_ignore_ascii_case("DisallowedOperation")
}

/// Of a 404, only Defender's own words say that it does not know device or file; a proxy's page does not.
fn says_not_found(refusal: &Refusal) -> bool {
    ["ResourceNotFound", "NotFound"].iter().any(|code| refusal.code.eq_ignore_ascii_case(code))
        || refusal.message.to_ascii_lowercase().contains("was not found")
}
