//! Hostile payloads end in a refusal: no crash, no hang, no wrong target.

use jiff::Timestamp;
use quarantine_bridge::alert::Severity;
use quarantine_bridge::mapping::{BUILT_IN, Body, BuiltIn, Format, Mapped};
use serde_json::{Value, json};

use crate::formats::{pairs, read};

const A: &str = "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4";
const ID: &str = "6f1d0b7c2a94e8d35b60c1f7a8e2934d5c7b1a09";

fn format(name: &str) -> Format {
    Format::load(name, BuiltIn::named(name).unwrap().code).unwrap()
}

fn reason(mapped: &Mapped) -> &'static str {
    assert!(mapped.alerts.is_empty(), "{mapped:?}");
    mapped.refused[0].problems[0].reason.as_str()
}

fn security_alert(entities: &str) -> Value {
    json!({"SystemAlertId": "a", "AlertSeverity": "High", "DisplayName": "t", "ProductName": "Azure Sentinel",
           "TimeGenerated": "2026-03-01T11:58:01Z", "Entities": entities})
}

#[test]
pub(crate) fn json_text_that_nests_without_end_is_no_evidence() {
    let deep =
        ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("{}1{}", "[".repeat(40), "]".repeat(40))];
    for text in deep {
        let mapped = read(&format("sentinel-alert"), security_alert(&text).to_string().as_bytes());
        assert_eq!(reason(&mapped), "no_target");
        let row = json!({"AlertId": "a", "EntityType": "File", "DeviceId": null, "AdditionalFields": text, "SHA1": A,
                         "EvidenceRole": "Impacted", "ThreatFamily": "x"});
        assert_eq!(reason(&read(&format("defender-hunting"), row.to_string().as_bytes())), "machine");
    }
}

#[test]
pub(crate) fn json_text_in_json_text_in_json_text_is_read_no_deeper_than_a_format_asks() {
    let mut text = "[]".to_owned();
    for _ in 0..12 {
        text = json!([text]).to_string();
    }
    assert_eq!(
        reason(&read(&format("sentinel-alert"), security_alert(&text).to_string().as_bytes())),
        "no_target"
    );
}

#[test]
fn a_payload_that_nests_without_end_is_refused_by_every_format() {
    for built_in in BUILT_IN {
        let format = format(built_in.name);
        for deep in
            ["[".repeat(100_000), "{\"a\":".repeat(20_000), format!("{}{}", "[".repeat(33), "]".repeat(33))]
        {
            assert_eq!(reason(&read(&format, deep.as_bytes())), "json", "{}", built_in.name);
        }
    }
}

#[test]
fn wide_payloads_end_well() {
    let file = json!({"@odata.type": "#microsoft.graph.security.fileEvidence", "verdict": "malicious", "mdeDeviceId": ID,
                      "fileDetails": {"sha1": A}});
    let alert = |count: usize| json!({"id": "a", "evidence": vec![file.clone(); count]}).to_string();
    assert_eq!(pairs(&read(&format("graph-alert-v2"), alert(90).as_bytes())).len(), 1);
    assert_eq!(reason(&read(&format("graph-alert-v2"), alert(500).as_bytes())), "too_many_targets");
    assert_eq!(reason(&read(&format("graph-alert-v2"), alert(4_000).as_bytes())), "json");
    let references: Vec<_> = (0..3_000).map(|n| json!({"$ref": n.to_string()})).collect();
    let mapped = read(
        &format("sentinel-alert"),
        security_alert(&json!(references).to_string()).to_string().as_bytes(),
    );
    assert!(mapped.alerts.is_empty());
}

/// References to each other, and to themselves, are followed once and not round and round.
#[test]
pub(crate) fn references_in_a_circle_end() {
    let circle = json!([{"$id": "1", "Type": "file", "Name": "a", "Host": {"$ref": "1"}, "FileHashes": [{"$ref": "1"}]},
                        {"$ref": "1"}, {"$id": "2", "$ref": "2", "Type": "file"}]);
    let mapped = read(&format("sentinel-alert"), security_alert(&circle.to_string()).to_string().as_bytes());
    assert_eq!(reason(&mapped), "no_target");
}

/// An id that is defined twice is nobody's: which of the two came first must not decide about a file.
#[test]
fn an_id_that_is_defined_twice_refers_to_nothing() {
    let hash = |value: &str| json!({"$id": "3", "Type": "filehash", "Algorithm": "SHA1", "Value": value});
    let twice = json!([{"$id": "1", "Type": "host", "HostName": "ws1"}, hash(A), hash(ID),
                       {"$id": "2", "Type": "file", "Name": "a.exe", "FileHashes": [{"$ref": "3"}]}]);
    let mapped = read(&format("sentinel-alert"), security_alert(&twice.to_string()).to_string().as_bytes());
    assert_eq!(reason(&mapped), "no_target");
}

#[test]
fn huge_and_deceptive_texts_stay_texts() {
    let huge = "x".repeat(200_000);
    let deceptive = "a\u{202e}exe.\u{0000}\u{200b}\r\nX-Header: 1";
    for name in [
        huge.as_str(),
        deceptive,
        "'; drop table actions; --",
        "../../../api/machines",
        "ws1' or '1' eq '1",
        "%00",
        "ws1\u{0430}\u{2044}x",
    ] {
        let payload = json!({"alert_id": "a", "title": name, "targets": [
            {"machine": {"id": ID, "dns_name": name}, "file": {"sha1": A, "name": name}},
            {"machine": {"dns_name": name}, "file": {"sha1": A}}]});
        let mapped = read(&format("bridge"), payload.to_string().as_bytes());
        assert_eq!(pairs(&mapped), [format!("id:{ID} sha1:{A}")], "{name:.40}");
        let pair = &mapped.alerts[0].targets[0];
        assert_eq!(pair.machine.dns_name, None, "{name:.40}");
        let shown = format!("{}{}", mapped.alerts[0].title, pair.file.name.as_deref().unwrap());
        assert!(
            shown.chars().count() <= 1_000 && !shown.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{shown:.40}"
        );
        assert_eq!(mapped.refused[0].problems[0].reason.as_str(), "machine");
    }
}

#[test]
pub(crate) fn numbers_keep_every_digit_and_none_is_too_large() {
    let payload = format!(
        r#"{{"alert_id": 1290568698312097725, "severity": 1e400, "occurred_at": 1e400,
        "targets": [{{"machine": "{ID}", "file": "{A}"}}]}}"#
    );
    let mapped = read(&format("bridge"), payload.as_bytes());
    assert_eq!(mapped.alerts[0].alert_id.as_str(), "1290568698312097725");
    assert_eq!(mapped.alerts[0].occurred_at, None);
    assert_eq!(mapped.alerts[0].severity, None);
}

#[test]
pub(crate) fn a_key_that_stands_twice_refuses_the_payload() {
    let payload =
        format!(r#"{{"alert_id": "a", "targets": [], "targets": [{{"machine": "{ID}", "file": "{A}"}}]}}"#);
    assert_eq!(reason(&read(&format("bridge"), payload.as_bytes())), "json");
}

/// Times as senders write them, and what is no time: an unknown time is for policy to hold.
#[test]
pub(crate) fn times_are_read_in_every_form_that_is_clear() {
    let read_time = |time: Value| {
        let payload = json!({"alert_id": "a", "occurred_at": time, "targets": [{"machine": ID, "file": A}]});
        read(&format("bridge"), payload.to_string().as_bytes()).alerts[0]
            .occurred_at
            .map(Timestamp::as_millisecond)
    };
    let at = Some(1_772_366_281_123);
    for clear in [
        "2026-03-01T11:58:01.123Z",
        "2026-03-01T11:58:01.1230000Z",
        "2026-03-01T11:58:01.123000000+00:00",
        "2026-03-01T11:58:01.123+0000",
        "2026-03-01 20:58:01.123 +09:00",
        "1772366281.123",
        "1772366281123",
    ] {
        assert_eq!(read_time(json!(clear)), at, "{clear}");
    }
    assert_eq!(read_time(json!(1_772_366_281_123_u64)), at);
    assert_eq!(read_time(json!(1_772_366_281)), Some(1_772_366_281_000));
    for unclear in [
        "2026-03-01T11:58:01",
        "2026-03-01 11:58:01.123",
        "0001-01-01T00:00:00Z",
        "1601-01-01T00:00:00Z",
        "",
        "soon",
        "0",
        "-5",
        "12:00",
    ] {
        assert_eq!(read_time(json!(unclear)), None, "{unclear}");
    }
}

/// Words and numbers of severity that no table knows are unknown, which policy denies: nothing is guessed.
#[test]
pub(crate) fn severities_outside_a_table_are_unknown() {
    let severity = |word: Value| {
        let payload = json!({"alert_id": "a", "severity": word, "targets": [{"machine": ID, "file": A}]});
        read(&format("bridge"), payload.to_string().as_bytes()).alerts[0].severity.map(Severity::as_str)
    };
    assert_eq!(severity(json!("high")), Some("high"));
    for other in [json!("Urgent"), json!(5), json!(null), json!(["high"]), json!("")] {
        assert_eq!(severity(other.clone()), None, "{other}");
    }
    let defend = |severity: Value| {
        let alert = json!({"event": {"id": "e", "code": "malicious_file", "severity": severity}, "host": {"name": "ws1"},
                           "file": {"hash": {"sha1": A}}});
        read(&format("elastic-defend"), alert.to_string().as_bytes()).alerts[0].severity.map(Severity::as_str)
    };
    assert_eq!(
        [defend(json!(99)), defend(json!("73")), defend(json!(0))],
        [Some("critical"), Some("high"), Some("low")]
    );
    assert_eq!(
        [defend(json!({"a": 1})), defend(json!([99])), defend(json!("x")), defend(json!(-1))],
        [None; 4]
    );
}

fn bridge_alert(id: &str) -> String {
    json!({"alert_id": id, "targets": [{"machine": ID, "file": A}]}).to_string()
}

#[test]
fn objects_run_together_are_read_where_the_source_says_so_and_refused_elsewhere() {
    let bodies = [
        bridge_alert("a") + &bridge_alert("b"),
        format!("{}\n{}\n", bridge_alert("a"), bridge_alert("b")),
        format!("  {}\r\n\t{}", bridge_alert("a"), bridge_alert("b")),
    ];
    let together = format("bridge").with_body(Body::Concatenated);
    for body in bodies {
        let ids: Vec<_> =
            read(&together, body.as_bytes()).alerts.iter().map(|it| it.alert_id.to_string()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(reason(&read(&format("bridge"), body.as_bytes())), "json");
    }
    assert_eq!(read(&together, bridge_alert("a").as_bytes()).alerts.len(), 1);
}

#[test]
fn the_limits_of_a_body_hold_over_all_that_is_run_together() {
    let together = format("bridge").with_body(Body::Concatenated);
    for broken in [
        String::new(),
        "  ".to_owned(),
        bridge_alert("a") + ",",
        bridge_alert("a") + "{",
        bridge_alert("a") + "x",
        bridge_alert("a") + r#"{"a":1,"a":2}"#,
        format!("{}{}", bridge_alert("a"), "[".repeat(33)),
        "[1,2,3,4,5,6,7,8,9]".repeat(2_100),
        "1 ".repeat(20_001),
    ] {
        assert_eq!(reason(&read(&together, broken.as_bytes())), "json", "{broken:.60}");
    }
}

/// One tank of fuel for the whole body: many small documents are no way around the limit.
#[test]
fn many_documents_share_the_fuel_of_one() {
    let code = "[.. as $a | .. as $b | .. as $c | 1] | {alert_id: \"a\", targets: []}";
    let format = Format::load("test", code).unwrap().with_body(Body::Concatenated);
    let one = "[1,2,3,4,5,6,7,8,9,10]";
    assert_eq!(reason(&read(&format, one.as_bytes())), "no_target");
    assert_eq!(reason(&read(&format, one.repeat(1_500).as_bytes())), "program");
}
