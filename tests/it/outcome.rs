//! What each answer of Defender means.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use jiff::SignedDuration;
use proptest::prelude::*;
use quarantine_bridge::alert::{Outcome, Target};
use quarantine_bridge::defender::{Answer, classify};

use serde_json::{Value, json};

use crate::harness::{MACHINE, SHA1, start_of_time};

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, retry_after: None, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn outcome(status: u16, body: &str) -> Outcome {
    classify(&answer(status, body), target(), start_of_time())
}

fn target() -> Target {
    Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() }
}

const TAKEN: &str = r#"{"id":"cd46c651-f570-4e32-abdb-a02a9e022a92","status":"Pending","creationDateTimeUtc":"2026-03-01T12:00:00.1Z"}"#;

#[test]
fn the_status_decides_before_the_body() {
    let table = [
        (200, TAKEN, "accepted"),
        (201, TAKEN, "accepted"),
        (202, TAKEN, "accepted"),
        (201, "", "unknown"),
        (201, "{}", "unknown"),
        (201, r#"{"id":"x"}"#, "unknown"),
        (201, r#"{"id":"../..","status":"Pending"}"#, "unknown"),
        (201, "<html>", "unknown"),
        (201, r#"{"id":"cd46c651","sta"#, "unknown"),
        (204, "", "unknown"),
        (301, "", "unknown"),
        (307, "", "unknown"),
        (400, "", "refused"),
        (400, TAKEN, "refused"),
        (400, r#"{"error":{"code":"InvalidRequestBody","message":"Request body is incorrect"}}"#, "refused"),
        (400, r#"{"error":{"code":"ActiveRequestAlreadyExists","message":""}}"#, "active_request"),
        (400, r#"{"error":{"code":"activerequestalreadyexists","message":""}}"#, "active_request"),
        (
            400,
            r#"{"error":{"code":"BadRequest","message":"Action is already in progress"}}"#,
            "active_request",
        ),
        (401, "", "unauthorized"),
        (403, r#"{"error":{"code":"Forbidden","message":"m"}}"#, "forbidden"),
        (403, r#"{"error":{"code":"DisabledFeature","message":"m"}}"#, "forbidden"),
        (403, r#"{"error":{"code":"DisallowedOperation","message":"m"}}"#, "refused"),
        (403, "<html>", "forbidden"),
        (404, r#"{"error":{"code":"ResourceNotFound","message":"m"}}"#, "not_found"),
        (404, r#"{"error":{"code":"NotFound","message":""}}"#, "not_found"),
        (404, r#"{"error":{"code":"","message":"Sha1 a was not found in machine b"}}"#, "not_found"),
        (404, r#"{"statusCode":404,"message":"Resource not found"}"#, "refused"),
        (404, "<html>", "refused"),
        (405, "", "refused"),
        (408, "", "unknown"),
        (409, "", "unknown"),
        (413, "", "refused"),
        (423, "", "unknown"),
        (425, "", "unknown"),
        (429, "", "throttled"),
        (429, TAKEN, "throttled"),
        (500, r#"{"error":{"code":"InternalServerError","message":"retry the operation"}}"#, "unknown"),
        (502, "<html>", "unknown"),
        (503, "", "unknown"),
        (504, "", "unknown"),
        (599, "", "unknown"),
        (100, "", "unknown"),
    ];
    for (status, body, expected) in table {
        assert_eq!(outcome(status, body).as_str(), expected, "{status} {body}");
    }
}

#[test]
fn a_machine_action_that_names_something_else_is_not_ours() {
    let ours = json!({"id": "x1", "status": "Pending", "type": "StopAndQuarantineFile", "machineId": MACHINE,
        "relatedFileInfo": {"fileIdentifier": SHA1, "fileIdentifierType": "Sha1"}});
    let with = |pointer: &str, value: Value| {
        let mut body = ours.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        outcome(201, &body.to_string())
    };
    let (machine, file) = ("/machineId", "/relatedFileInfo/fileIdentifier");
    let same = [
        ("/id", json!("x2")),
        ("/type", json!("stopandquarantinefile")),
        ("/type", json!(null)),
        (machine, json!(MACHINE.to_uppercase())),
        (machine, json!(null)),
        (file, json!(SHA1.to_uppercase())),
        (file, json!("87654321")),
        ("/relatedFileInfo", json!(null)),
    ];
    for (pointer, value) in same {
        assert_eq!(with(pointer, value.clone()).as_str(), "accepted", "{pointer} {value}");
    }
    let others = [("/type", "RunAntiVirusScan"), (machine, SHA1), (file, MACHINE)];
    for (pointer, value) in others {
        let Outcome::ActiveRequest(refusal) = with(pointer, json!(value)) else { panic!("{pointer}") };
        assert!(refusal.to_string().contains("HTTP 201") && refusal.message.contains("x1"), "{refusal}");
    }
}

#[test]
fn a_refusal_keeps_defenders_words_from_every_envelope() {
    let table = [
        (r#"{"error":{"code":"C","message":"M","target":"T"}}"#, "C", "M", Some("T")),
        (r#"{"error":{"code":"","message":"M","details":[]}}"#, "", "M", None),
        (r#"{"statusCode":404,"message":"Resource not found"}"#, "", "Resource not found", None),
        (r#"{"error":{"code":404,"message":null,"target":"|3xxxxx"}}"#, "404", "", Some("|3xxxxx")),
        (r#"{"error":"text"}"#, "", "", None),
        ("[]", "", "", None),
        ("<html>", "", "", None),
        ("", "", "", None),
    ];
    for (body, code, message, target) in table {
        let Outcome::Refused(refusal) = outcome(404, body) else { panic!("{body}") };
        assert_eq!((refusal.code.as_str(), refusal.message.as_str()), (code, message), "{body}");
        assert_eq!(refusal.correlation_id.as_deref(), target, "{body}");
    }
}

#[test]
fn a_message_is_one_bounded_line() {
    let body = format!(r#"{{"error":{{"code":"C","message":"<html>\n\u001b[31m{}"}}}}"#, "x".repeat(10_000));
    let Outcome::Refused(refusal) = outcome(400, &body) else { panic!() };
    assert!(refusal.message.chars().count() <= 500);
    assert!(!refusal.message.chars().any(char::is_control));
}

#[test]
fn the_wait_after_429_comes_from_the_header_then_the_message_then_a_minute() {
    let minute = "API calls quota exceeded! maximum allowed 45 per 00:01:00";
    let hour = "API calls quota exceeded! maximum allowed 1500 per 01:00:00";
    let table = [
        (Some("7"), minute, 7),
        (Some(" 7 "), minute, 7),
        (Some("0"), minute, 1),
        (Some("99999999999999999999"), minute, 3_600),
        (Some("86400"), minute, 3_600),
        (Some("Sun, 01 Mar 2026 12:00:30 GMT"), minute, 30),
        (Some("Sun, 01 Mar 2026 11:00:00 GMT"), minute, 1),
        (Some(""), minute, 60),
        (Some("-5"), hour, 3_600),
        (Some("later"), "", 60),
        (None, minute, 60),
        (None, hour, 3_600),
        (None, "maximum allowed 45 per x:y:z", 60),
        (None, "", 60),
    ];
    for (header, message, seconds) in table {
        let body = format!(r#"{{"error":{{"code":"429","message":"{message}"}}}}"#);
        let answer = Answer { retry_after: header.map(ToOwned::to_owned), ..answer(429, &body) };
        let Outcome::Throttled { wait, .. } = classify(&answer, target(), start_of_time()) else { panic!() };
        assert_eq!(wait, SignedDuration::from_secs(seconds), "{header:?} {message}");
    }
}

/// Real bodies lie beside the repository on some machines. Where they do, every one of them is read, under
/// every status.
#[test]
fn every_real_body_is_read_without_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/defender-answers");
    if !folder.is_dir() {
        eprintln!("NOT RUN: there are no real answers beside the repository ({})", folder.display());
        return;
    }
    let expected = [
        ("s2.json", 201, "accepted"),
        // They are answers to other calls: an isolation, an offboarding, a quarantine on another device.
        ("s3.json", 201, "active_request"),
        ("s4.json", 201, "active_request"),
        ("s5.json", 200, "active_request"),
        ("s6.json", 404, "not_found"),
        ("s7a.json", 404, "not_found"),
        ("s7b.json", 400, "refused"),
        ("s8.json", 400, "active_request"),
        ("s9.json", 403, "forbidden"),
        ("s10a.json", 429, "throttled"),
        ("s10b.json", 429, "throttled"),
        ("s11.json", 400, "refused"),
    ];
    for (name, status, word) in expected {
        let body = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(outcome(status, &body).as_str(), word, "{name}");
    }
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "json") {
            let body = fs::read_to_string(&path).unwrap();
            for status in [200, 201, 400, 401, 403, 404, 429, 500, 503] {
                outcome(status, &body);
            }
            count += 1;
        }
    }
    assert!(count >= expected.len(), "{count}");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(status: u16, retry_after: Option<String>, body: Vec<u8>) {
        let answer = Answer { status, retry_after, body: body.into() };
        let outcome = classify(&answer, target(), start_of_time());
        // Only a success with an id may count as accepted, and only what proves that nothing happened as a
        // no.
        if matches!(outcome, Outcome::Accepted(_)) {
            prop_assert!((200..300).contains(&status));
        }
        if outcome.refusal().is_some() && !matches!(outcome, Outcome::ActiveRequest(_)) {
            prop_assert!((400..500).contains(&status));
        }
    }
}
