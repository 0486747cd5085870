//! Deliveries over HTTP: every good and bad way to send one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use jiff::SignedDuration;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup, without_facts};

#[track_caller]
fn problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["type"], format!("urn:quarantine-bridge:problem:{code}"));
    assert_eq!(answer.body["status"], status);
    let instance = format!("urn:uuid:{}", answer.headers["x-request-id"]);
    assert_eq!(answer.body["instance"], instance.as_str());
}

#[tokio::test]
async fn a_new_alert_is_accepted_with_its_actions() {
    let bridge = Bridge::start().await;

    let answer = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;

    assert_eq!(answer.status, 202);
    let action = &answer.body["alerts"][0]["actions"][0];
    assert_eq!(answer.headers["location"], format!("/v1/actions/{}", action["id"].as_str().unwrap()));
    assert_eq!(answer.body["duplicate"], false);
    assert_eq!(answer.body["alerts"][0]["alert_id"], "a1");
    assert_eq!(action["state"], "accepted");
}

#[tokio::test]
async fn the_same_delivery_again_is_a_duplicate_with_the_same_actions() {
    let bridge = Bridge::start().await;
    let alert = bridge.alert("a1", MACHINE, SHA1);
    let first = bridge.post("msg_1", alert.clone()).await;
    bridge.clock.advance(SignedDuration::from_mins(10));

    let again = bridge.post("msg_1", alert).await;

    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(again.body["duplicate"], true);
    assert_eq!(again.body["delivery_id"], first.body["delivery_id"]);
    assert_eq!(again.body["alerts"][0]["actions"][0]["id"], first.body["alerts"][0]["actions"][0]["id"]);
}

#[tokio::test]
async fn the_same_alert_in_another_delivery_is_a_duplicate() {
    let bridge = Bridge::start().await;
    let first = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    bridge.clock.advance(SignedDuration::from_secs(5));

    let again = bridge.post("msg_2", bridge.alert("a1", MACHINE, SHA1)).await;

    assert_eq!(again.status, 200);
    assert_eq!(again.body["duplicate"], true);
    assert_ne!(again.body["delivery_id"], first.body["delivery_id"]);
    assert_eq!(again.body["alerts"][0]["actions"][0]["id"], first.body["alerts"][0]["actions"][0]["id"]);
}

#[tokio::test]
async fn a_new_pair_in_a_known_alert_is_a_new_action_beside_the_old() {
    let bridge = Bridge::start().await;
    let first = bridge.accept("a1", MACHINE, SHA1).await;

    let answer = bridge.post("msg_2", bridge.alert("a1", &"5".repeat(40), SHA1)).await;

    assert_eq!(answer.status, 202);
    let actions = answer.body["alerts"][0]["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 2);
    assert_eq!((&actions[0]["id"], &actions[0]["duplicate"]), (&json!(first), &json!(true)));
    assert_eq!(actions[1]["duplicate"], false);
}

/// Policy decides by what the first delivery told, so the new action waits among those of that severity.
#[tokio::test]
async fn a_new_pair_in_a_known_alert_has_what_the_alert_told_first() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    bridge.accept("a1", MACHINE, SHA1).await;
    let milder = String::from_utf8(bridge.alert("a1", &"5".repeat(40), SHA1)).unwrap();
    let milder = milder.replace("\"high\"", "\"low\"");
    assert!(milder.contains("\"low\""), "{milder}");

    let answer = bridge.post("msg_2", milder).await;

    let actions = answer.body["alerts"][0]["actions"].as_array().unwrap();
    let record = bridge.get(&format!("/v1/actions/{}", actions[1]["id"].as_str().unwrap())).await;
    assert_eq!(record.body["alert"]["severity"], "high");
    let db = Connection::open(bridge.database()).unwrap();
    let ranks: i64 =
        db.query_row("SELECT count(DISTINCT severity_rank) FROM actions", [], |row| row.get(0)).unwrap();
    assert_eq!(ranks, 1);
    bridge.drain().await;
    let posted = bridge.simulator.with(|state| {
        state.calls.iter().filter(|call| call.path.ends_with("/StopAndQuarantineFile")).count()
    });
    assert_eq!(posted, 2);
}

#[tokio::test]
async fn another_body_under_the_same_id_is_a_conflict_and_changes_nothing() {
    let bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;

    let answer = bridge.post("msg_a1", bridge.alert("a2", MACHINE, SHA1)).await;

    problem(&answer, 409, "conflict");
    let all = bridge.get("/v1/actions").await;
    assert_eq!(all.body["actions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn several_alerts_and_pairs_fan_out_in_one_delivery() {
    let bridge = Bridge::start().await;
    let now = bridge.clock.now().to_string();
    let target = |machine: &str| json!({"machine": machine, "file": SHA1});
    let alert = |id: &str, targets: Vec<Value>| json!({"alert_id": id, "severity": "high", "occurred_at": now, "targets": targets});
    let pairs = vec![target(&"5".repeat(40)), target(&"6".repeat(40)), target(&"5".repeat(40))];
    let body = json!([alert("a1", vec![target(MACHINE)]), alert("a2", pairs), alert("a3", vec![])]);

    let answer = bridge.post("msg_1", body.to_string()).await;

    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.headers["location"],
        format!("/v1/deliveries/{}", answer.body["delivery_id"].as_str().unwrap())
    );
    let counts: Vec<_> = answer.body["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["actions"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [1, 2]);
    assert_eq!(answer.body["refused"][0]["alert_id"], "a3");
    assert_eq!(answer.body["refused"][0]["problems"][0]["reason"], "no_target");
}

#[tokio::test]
async fn an_unknown_source_and_a_name_that_cannot_be_one_are_alike() {
    let bridge = Bridge::start().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    for path in
        ["/v1/hooks/other", "/v1/hooks/SOC", "/v1/hooks/so%2Fc", "/v1/hooks/..", "/v1/hooks/", "/v1/hooks"]
    {
        let answer = bridge.send(bridge.request(path).body(body.clone())).await;
        problem(&answer, 404, "not-found");
        assert!(answer.body.get("detail").is_none(), "{path} tells something");
    }
}

#[tokio::test]
async fn whoever_is_not_believed_learns_nothing_from_the_answer() {
    let bridge = Bridge::start().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    let now = bridge.clock.now().as_second().to_string();
    let request = |headers: &[(&str, &str)]| {
        let request = bridge.request("/v1/hooks/soc").body(body.clone());
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let unsigned = bridge.send(request(&[])).await;
    let forged = bridge
        .send(request(&[("webhook-id", "m"), ("webhook-timestamp", &now), ("webhook-signature", wrong)]))
        .await;
    let broken = bridge
        .send(request(&[("webhook-id", "m"), ("webhook-timestamp", "x"), ("webhook-signature", wrong)]))
        .await;
    let stale = {
        let signed = bridge.signed("m", body.clone());
        bridge.clock.advance(SignedDuration::from_secs(301));
        bridge.send(signed).await
    };

    for answer in [&unsigned, &forged, &broken, &stale] {
        problem(answer, 401, "unauthorized");
        let mut said = answer.body.clone();
        said.as_object_mut().unwrap().remove("instance");
        let mut first = unsigned.body.clone();
        first.as_object_mut().unwrap().remove("instance");
        assert_eq!(said, first);
    }
    for (reason, count) in
        [("header_missing", 1.0), ("mismatch", 1.0), ("header_malformed", 1.0), ("stale", 1.0)]
    {
        let line =
            format!("quarantine_bridge_signature_failures_total{{source=\"soc\",reason=\"{reason}\"}}");
        assert_eq!(bridge.metric(&line), Some(count), "{reason}");
    }
    let all = bridge.get("/v1/actions").await;
    assert_eq!(all.body["actions"], json!([]));
}

#[tokio::test]
async fn broken_json_is_told_and_kept() {
    let bridge = Bridge::start().await;
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    let many = format!("[{}]", vec!["1"; 20_000].join(","));
    let cases = [
        ("", "value"),
        ("{", "value or end"),
        ("{\"a\":1}{\"a\":2}", "end of file"),
        ("{\"a\":1} x", "end of file"),
        ("{\"a\":1,\"a\":2}", "stands twice"),
        ("{\"a\":1,\"\\u0061\":2}", "stands twice"),
        ("[{\"b\":{\"a\":1,\"a\":1}}]", "stands twice"),
        ("{'a':1}", "string"),
        ("[1,]", "value"),
        ("[01]", "comma"),
        ("[+1]", "value"),
        ("[.5]", "value"),
        ("[1.]", "digit"),
        ("[NaN]", "value"),
        ("[\"\\ud800\"]", "surrogate"),
        ("[\"a\u{1}b\"]", "control"),
        ("\u{feff}{}", "value"),
        ("// x\n{}", "value"),
        (deep.as_str(), "deeper than 32"),
        (many.as_str(), "20,000"),
    ];
    for (n, (body, word)) in cases.into_iter().enumerate() {
        let answer = bridge.post(&format!("msg_{n}"), body).await;
        problem(&answer, 400, "invalid-json");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{body:.40}: {detail}");
        let kept =
            bridge.get(&format!("/v1/deliveries/{}", answer.body["delivery_id"].as_str().unwrap())).await;
        assert_eq!((&kept.body["outcome"], &kept.body["body"]), (&json!("refused"), &json!(body)));
    }
    let invalid_utf8 = bridge.post("msg_utf8", vec![b'"', 0xff, b'"']).await;
    problem(&invalid_utf8, 400, "invalid-json");
    let kept =
        bridge.get(&format!("/v1/deliveries/{}", invalid_utf8.body["delivery_id"].as_str().unwrap())).await;
    assert_eq!(kept.body["body_base64"], "Iv8i");
}

#[tokio::test]
async fn depth_32_is_still_taken() {
    let bridge = Bridge::start().await;
    let nest = format!("{}1{}", "[".repeat(31), "]".repeat(31));
    let answer = bridge.post("msg_1", format!("{{\"a\":{nest}}}")).await;
    problem(&answer, 422, "unmappable");
}

#[tokio::test]
async fn ids_are_kept_as_they_are_written() {
    let bridge = Bridge::start().await;
    let ids = [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("18446744073709551616", "18446744073709551616"),
        ("9007199254740993", "9007199254740993"),
        ("-0", "-0"),
        ("1e3", "1e3"),
        ("1.50", "1.50"),
        ("\"0042\"", "0042"),
        ("\"a/b?c#d@@e|f:g+h'i\\\"j\"", "a/b?c#d@@e|f:g+h'i\"j"),
    ];
    for (n, (written, id)) in ids.into_iter().enumerate() {
        let alert = String::from_utf8(bridge.alert("ID", MACHINE, SHA1)).unwrap().replace("\"ID\"", written);
        let answer = bridge.post(&format!("msg_{n}"), alert).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        assert_eq!(answer.body["alerts"][0]["alert_id"], id);
    }
}

#[tokio::test]
async fn what_cannot_become_an_action_is_told_with_its_path_and_kept() {
    let bridge = Bridge::start().await;
    let now = bridge.clock.now().to_string();
    let with = |machine: Value, file: Value| json!({"alert_id": "a", "severity": "high", "occurred_at": now, "targets": [{"machine": machine, "file": file}]});
    let long = "x".repeat(513);
    let cases = [
        (with(json!("123"), json!(SHA1)), "machine", "$.targets[0].machine", "40 hexadecimal"),
        (
            with(json!(SHA1.replace('2', "g")), json!(SHA1)),
            "machine",
            "$.targets[0].machine",
            "40 hexadecimal",
        ),
        (
            with(json!("../../../etc/passwd"), json!(SHA1)),
            "machine",
            "$.targets[0].machine",
            "40 hexadecimal",
        ),
        (with(json!(MACHINE), json!("111")), "file", "$.targets[0].file", "40 hexadecimal"),
        (with(json!(MACHINE), json!("0".repeat(40))), "file", "$.targets[0].file", "placeholder"),
        (with(json!(MACHINE), json!("f".repeat(40))), "file", "$.targets[0].file", "placeholder"),
        (
            with(json!(MACHINE), json!("DA39A3EE5E6B4B0D3255BFEF95601890AFD80709")),
            "file",
            "$.targets[0].file",
            "placeholder",
        ),
        (
            with(json!(MACHINE), json!(MACHINE)),
            "machine",
            "$.targets[0].machine",
            "one was taken for the other",
        ),
        (with(json!({}), json!(SHA1)), "machine", "$.targets[0].machine", "neither"),
        (with(json!(null), json!(SHA1)), "machine", "$.targets[0].machine", "not named"),
        (with(json!(MACHINE), json!({"sha1": "", "sha256": null})), "file", "$.targets[0].file", "neither"),
        (
            with(json!(MACHINE), json!({"sha1": SHA1, "path": "x"})),
            "format_output",
            "$.targets[0].file",
            "path",
        ),
        (json!({"alert_id": "a", "targets": []}), "no_target", "$", "names no file"),
        (json!({"alert_id": "a"}), "no_target", "$", "names no file"),
        (json!({"targets": [{"machine": MACHINE, "file": SHA1}]}), "alert_id", "$.alert_id", "no id"),
        (
            json!({"alert_id": "", "targets": [{"machine": MACHINE, "file": SHA1}]}),
            "alert_id",
            "$.alert_id",
            "empty",
        ),
        (
            json!({"alert_id": "a\nb", "targets": [{"machine": MACHINE, "file": SHA1}]}),
            "alert_id",
            "$.alert_id",
            "invisible",
        ),
        (
            json!({"alert_id": "a\u{202e}b", "targets": [{"machine": MACHINE, "file": SHA1}]}),
            "alert_id",
            "$.alert_id",
            "invisible",
        ),
        (
            json!({"alert_id": long, "targets": [{"machine": MACHINE, "file": SHA1}]}),
            "alert_id",
            "$.alert_id",
            "512",
        ),
        (
            json!({"alert_id": {"a": 1}, "targets": [{"machine": MACHINE, "file": SHA1}]}),
            "alert_id",
            "$.alert_id",
            "no id",
        ),
        (json!([]), "no_alert", "$", "no alert"),
        (json!("text"), "program", "$", "failed"),
    ];
    for (n, (body, reason, path, word)) in cases.into_iter().enumerate() {
        let answer = bridge.post(&format!("msg_{n}"), body.to_string()).await;
        problem(&answer, 422, "unmappable");
        let errors = answer.body["errors"].as_array().unwrap();
        let found = errors.iter().any(|error| {
            error["reason"] == reason
                && error["path"] == path
                && error["detail"].as_str().unwrap().contains(word)
        });
        assert!(found, "{body}: {errors:?}");
        let kept =
            bridge.get(&format!("/v1/deliveries/{}", answer.body["delivery_id"].as_str().unwrap())).await;
        assert_eq!(kept.body["outcome"], "refused");
    }
}

#[tokio::test]
async fn a_refused_delivery_sent_again_is_refused_again_under_the_same_id() {
    let bridge = Bridge::start().await;
    let first = bridge.post("msg_1", "{\"alert_id\":\"a\"}").await;
    let again = bridge.post("msg_1", "{\"alert_id\":\"a\"}").await;
    let other = bridge.post("msg_1", "{\"alert_id\":\"b\"}").await;

    problem(&again, 422, "unmappable");
    assert_eq!(again.body["delivery_id"], first.body["delivery_id"]);
    problem(&other, 409, "conflict");
}

#[tokio::test]
async fn hashes_and_machine_ids_in_upper_case_are_the_same() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", &MACHINE.to_uppercase(), &SHA1.to_uppercase()).await;
    bridge.drain().await;
    let target = bridge.action(&id).await["target"].clone();
    assert_eq!(target, json!({"machine_id": MACHINE, "sha1": SHA1}));
    bridge.run_for(SignedDuration::from_secs(40)).await;
}

#[tokio::test]
async fn the_limit_is_256_kib_however_the_body_comes() {
    let bridge = Bridge::start().await;
    let body = |len: usize| vec![b' '; len];
    let limit = 256 * 1024;

    let at_limit = bridge.post("msg_1", body(limit)).await;
    problem(&at_limit, 400, "invalid-json");
    let above = bridge.post("msg_2", body(limit + 1)).await;
    problem(&above, 413, "too-large");

    let chunked = chunked(&bridge, limit + 1);
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked:.100}");
}

/// Sends a body in chunks, without its length.
fn chunked(bridge: &Bridge, len: usize) -> String {
    let mut stream = TcpStream::connect(bridge.address()).unwrap();
    let head = "POST /v1/hooks/soc HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = vec![b' '; 64 * 1024];
    let mut sent = 0;
    while sent < len {
        let size = chunk.len().min(len - sent);
        // The answer may come, and the connection close, before all is sent.
        let written = write!(stream, "{size:x}\r\n").and_then(|()| stream.write_all(&chunk[..size]));
        if written.and_then(|()| stream.write_all(b"\r\n")).is_err() {
            break;
        }
        sent += size;
    }
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let bridge = Bridge::start().await;
    let address = bridge.address();

    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "POST /v1/hooks/soc HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        let mut buffer = vec![0; 1024];
        let read = stream.read(&mut buffer).unwrap();
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
        answer
    });
    let answer = answer.await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn only_plain_json_is_taken() {
    let bridge = Bridge::start().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "", "json", "text/json", "application/jsonx"]
    {
        let request = bridge.signed("msg_1", body.clone());
        let mut request = request.build().unwrap();
        request.headers_mut().insert("content-type", media_type.parse().unwrap());
        let response = reqwest::Client::builder().no_proxy().build().unwrap().execute(request).await.unwrap();
        assert_eq!(response.status(), 415, "{media_type}");
    }
    let gzip = bridge.send(bridge.signed("msg_2", body.clone()).header("content-encoding", "gzip")).await;
    problem(&gzip, 415, "unsupported-media-type");
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"]
    {
        let mut request = bridge.signed("msg_3", body.clone()).build().unwrap();
        request.headers_mut().insert("content-type", media_type.parse().unwrap());
        let response = reqwest::Client::builder().no_proxy().build().unwrap().execute(request).await.unwrap();
        assert!(response.status().is_success(), "{media_type}");
    }
}

#[tokio::test]
async fn a_gzip_body_is_not_unpacked_even_if_it_is_signed() {
    let bridge = Bridge::start().await;
    // gzip of "{}", signed as it is on the wire, without saying what it is.
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let answer = bridge.post("msg_1", gzip.to_vec()).await;
    problem(&answer, 400, "invalid-json");
}

#[tokio::test]
async fn other_methods_are_refused() {
    let bridge = Bridge::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (method, path, allow) in [
        ("GET", "/v1/hooks/soc", "POST"),
        ("PUT", "/v1/hooks/soc", "POST"),
        ("GET", "/v1/hooks/other", "POST"),
        ("POST", "/v1/budget", "GET"),
        ("PUT", "/v1/actions", "GET, POST"),
        ("DELETE", "/livez", "GET"),
    ] {
        let request = client.request(method.parse().unwrap(), bridge.url(path));
        let answer = bridge.send(request).await;
        problem(&answer, 405, "method-not-allowed");
        assert_eq!(answer.headers["allow"], allow);
    }
}

#[tokio::test]
async fn while_the_store_cannot_be_written_nothing_is_accepted_and_afterwards_all_is() {
    let bridge = Bridge::start().await;
    // Another writer that does not let go is, to us, a disk that does not take our data.
    let other = Connection::open(bridge.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let answer = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    problem(&answer, 503, "store-unavailable");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(bridge.get_openly("/readyz").await.status, 503);
    assert_eq!(bridge.get_openly("/livez").await.status, 200);

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(bridge.get_openly("/readyz").await.status, 200);
    let answer = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    assert_eq!(answer.status, 202);
}

/// What is answered is for people who have never seen the program: no text of its types.
#[tokio::test]
async fn a_field_that_is_not_known_is_named_in_plain_words() {
    let bridge = Bridge::start().await;
    let alert = |machine: Value| {
        let targets = json!([{"machine": machine, "file": {"sha1": SHA1}}]);
        json!({"alert_id": "a1", "severity": "high", "occurred_at": "2026-03-01T12:00:00Z", "targets": targets})
    };
    let answer = bridge.post("msg_1", alert(json!({"id": MACHINE, "host\u{e4}": "x"})).to_string()).await;

    assert_eq!(answer.status, 422, "{answer:?}");
    let told = answer.body.to_string();
    assert!(told.contains("a field \\\"host\u{e4}\\\" that is not one of"), "{told}");
    assert!(!told.contains("Made(") && !told.contains("Lent("), "{told}");
}
