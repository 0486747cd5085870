//! Commands of OpenC2: what is done, what is refused and how, and that sending one again does nothing twice.

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::http::{Quota, Rate};
use quarantine_bridge::ingest::{Gate, Scheme};
use quarantine_bridge::store::{Retention, Scope};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::contract::OPENAPI;
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup, TENANT, take_device_offline};

const ENDPOINT: &str = "/v1/openc2";
const REQUEST_ID: &str = "d1ac0489-ed51-4345-9175-f3078f30afe5";
const OTHER_SHA1: &str = "3333333333cccccccccc3333333333cccccccccc";

fn setup() -> Setup {
    Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }
}

/// The usual file is to be contained on the usual device.
fn contain(command_id: &str) -> Value {
    json!({
        "action": "contain",
        "target": {"file": {"hashes": {"sha1": SHA1.to_uppercase()}}},
        "args": {"er": {"downstream_device": {"devices": [{"device_id": MACHINE}]}}},
        "actuator": {"er": {}},
        "command_id": command_id,
    })
}

/// The command with something else at a place.
fn with(mut command: Value, place: &str, value: Value) -> Value {
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = command.pointer_mut(parent).unwrap();
    match value {
        // OpenC2 has no null.
        Value::Null => drop(parent.as_object_mut().unwrap().remove(name)),
        value => parent[name] = value,
    }
    command
}

fn message(request_id: &str, created: i64, command: &Value) -> Value {
    json!({
        "headers": {"request_id": request_id, "created": created, "from": "soar.example", "to": ["bridge.example"]},
        "body": {"openc2": {"request": command}},
    })
}

async fn send(bridge: &Bridge, token: &str, body: impl ToString) -> Answer {
    let content_type = HeaderValue::from_static("application/openc2+json;version=1.0");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    let request = bridge.request(ENDPOINT).bearer_auth(token).headers(headers);
    let answer = bridge.send(request.body(body.to_string())).await;
    if answer.status != 204 {
        assert_eq!(answer.headers["content-type"], "application/openc2+json;version=1.0", "{answer:?}");
    }
    answer
}

/// HTTP's status, OpenC2's, and its text.
fn told(answer: &Answer) -> (u16, u64, &str) {
    let response = answer.body.pointer("/body/openc2/response").unwrap_or(&answer.body);
    let status = response["status"].as_u64().unwrap();
    (answer.status, status, response["status_text"].as_str().unwrap_or_default())
}

fn action_id(answer: &Answer) -> String {
    let response = answer.body.pointer("/body/openc2/response").unwrap_or(&answer.body);
    response["results"]["x-qbridge"]["id"].as_str().unwrap().to_owned()
}

async fn actions(bridge: &Bridge) -> usize {
    bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_file_is_contained_and_the_same_command_tells_how_it_stands() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let command = contain("0e3d8fa8-0bae-4055-a341-9c97b4f328f7");
    let created = bridge.clock.now().as_millisecond();

    let first = send(&bridge, &token, message(REQUEST_ID, created, &command)).await;

    assert_eq!(told(&first), (200, 102, ""));
    assert_eq!(first.body["headers"]["request_id"], REQUEST_ID);
    assert_eq!(first.headers["retry-after"], "5");
    assert!(first.headers.contains_key("date") && first.headers["cache-control"] == "no-store");
    let id = action_id(&first);
    assert_eq!(first.headers["location"], format!("/v1/actions/{id}/status"));
    bridge.run_for(SignedDuration::from_mins(1)).await;
    // Another message, at another time, with the same command.
    let again = send(&bridge, &token, message("another", created + 60_000, &command)).await;
    assert_eq!(told(&again), (200, 200, ""));
    assert_eq!((action_id(&again), &again.body["headers"]["request_id"]), (id.clone(), &json!("another")));
    assert!(!again.headers.contains_key("retry-after"));
    let sent = bridge.quarantines();
    assert_eq!(sent.len(), 1);
    let comment = "Stop and quarantine file on machine due to alert 0e3d8fa8-0bae-4055-a341-9c97b4f328f7";
    assert_eq!(sent[0]["body"]["Comment"], comment);
    let action = bridge.action(&id).await;
    assert_eq!((&action["alert"]["severity"], &action["source"]), (&json!("high"), &json!("playbooks")));
    assert_eq!(action["requested"]["by"], "token:soar");
}

#[tokio::test]
async fn what_openc2_has_no_words_for_is_said_beside_it() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let ours = json!({"alert_id": "7a1f", "severity": "low", "title": "Malware", "note": "run 4711",
        "occurred_at": "2026-03-01T11:58:00Z", "url": "https://siem.example/7a1f", "mode": "approve"});
    let command = with(contain("c1"), "/args/x-qbridge", ours);
    let command = with(command, "/target/file/name", json!("invoice.dll"));
    let devices =
        json!([{"hostname": "WS1.corp.example", "device_id": "12f4b2b8-8a7e-4d0d-9b61-2f3a4f5b6c7d"}]);
    let command = with(command, "/args/er/downstream_device/devices", devices);
    let command = with(command, "/args/er/downstream_device/tenant_id", json!(TENANT.to_uppercase()));

    let answer = send(&bridge, &token, &command).await;
    bridge.drain().await;

    let action = bridge.action(&action_id(&answer)).await;
    assert_eq!(action["state"], "held", "{action}");
    let alert = json!({"id": "7a1f", "title": "Malware", "severity": "low", "url": "https://siem.example/7a1f",
        "occurred_at": "2026-03-01T11:58:00.000Z"});
    assert_eq!(action["alert"], alert);
    assert_eq!(action["machine"]["dns_name"], "ws1.corp.example");
    assert_eq!(action["machine"]["aad_device_id"], "12f4b2b8-8a7e-4d0d-9b61-2f3a4f5b6c7d");
    assert_eq!(action["file"]["name"], "invoice.dll");
    let requested = json!({"by": "token:soar", "mode_max": "approve", "note": "run 4711"});
    assert_eq!(action["requested"], requested);
    let again = send(&bridge, &token, &command).await;
    let (http, status, text) = told(&again);
    assert_eq!((http, status), (200, 102));
    assert!(text.starts_with("It waits for a person"), "{text}");
    // The alert is known to the other way of asking too.
    let asked = json!({"alert_id": "7a1f", "severity": "low", "machine": {"dns_name": "ws1.corp.example",
        "aad_device_id": "12f4b2b8-8a7e-4d0d-9b61-2f3a4f5b6c7d"}, "file": {"sha1": SHA1}});
    let asked = bridge.post_as("/v1/actions", &token, &asked).await;
    assert_eq!((&asked.body["id"], &asked.body["duplicate"]), (&action["id"], &json!(true)));
}

#[tokio::test]
async fn what_is_not_done_is_refused_in_openc2s_words_and_nothing_is_kept() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let place = |place: &str, value: Value| with(contain("c1"), place, value);
    let devices = "/args/er/downstream_device/devices";
    let no_device = "Downstream device argument not populated";
    let query = |features: Value| json!({"action": "query", "target": {"features": features}});
    let refused = [
        (place("/args", json!({})), 400, no_device),
        (place("/args", Value::Null), 400, no_device),
        (place("/args/er", json!({})), 400, no_device),
        (place("/args/er/downstream_device", json!({})), 400, no_device),
        (place(devices, json!([])), 400, no_device),
        (place(devices, json!([{}])), 400, no_device),
        (place(devices, json!([{"hostname": "ws1"}, {"hostname": "ws2"}])), 501, "one command for each"),
        (place(devices, json!([{"idn_hostname": "ws1"}])), 501, "idn_hostname"),
        (place(devices, json!([{"hostname": "ws1' or 1 eq 1"}])), 400, "dns_name"),
        (place(devices, json!([{"hostname": "localhost"}])), 400, "dns_name"),
        (place(devices, json!([{"device_id": "../../machines"}])), 400, "aad_device_id"),
        (place(devices, json!([{"device_id": SHA1}])), 400, "same text"),
        (place("/args/er/downstream_device/device_groups", json!(["all"])), 501, "device_groups"),
        (place("/args/er/downstream_device", json!({"device_groups": ["all"]})), 501, "device_groups"),
        (place("/args/er/downstream_device/tenant_id", json!("another")), 404, "tenant"),
        (place("/args/er/downstream_device/tenant_id", json!("")), 404, "tenant"),
        (place("/args/er/permitted_addresses", json!({})), 501, "permitted_addresses"),
        (place("/args/er/everywhere", json!(true)), 400, "args.er"),
        (place("/args/start_time", json!(1_774_958_280_000_i64)), 501, "start_time"),
        (place("/args/duration", json!(1)), 501, "duration"),
        (place("/args/dry_run", json!(true)), 400, "args"),
        (place("/args/response_requested", json!("later")), 400, "later"),
        (place("/args/x-qbridge", json!({"severity": "dreadful"})), 400, "severity"),
        (place("/args/x-qbridge", json!({"source": "soc"})), 400, "source"),
        (place("/args/x-qbridge", json!({"mode": "on"})), 400, "mode"),
        (place("/actuator", json!({"slpf": {}})), 404, "actuator"),
        (place("/actuator", json!({"er": {"hostname": "ws1"}})), 404, "actuator"),
        (place("/action", json!("deny")), 501, "Command not supported"),
        (place("/action", json!("delete")), 501, "Command not supported"),
        (place("/action", json!("explode")), 400, "no such action"),
        (place("/action", json!("CONTAIN")), 400, "no such action"),
        (place("/target", json!({"device": {"hostname": "ws1"}})), 501, "Target type not supported"),
        (place("/target", json!({"x-a:thing": 1})), 501, "Target type not supported"),
        (place("/target", json!({"everything": true})), 400, "no such target"),
        (place("/target", json!({})), 400, "exactly one target"),
        (place("/target/features", json!([])), 400, "exactly one target"),
        (place("/target/device", json!({"hostname": "ws1"})), 400, "exactly one target"),
        (place("/target/file", json!({"name": "invoice.dll"})), 501, "sha1 or sha256"),
        (place("/target/file/path", json!("C:\\a.dll")), 501, "path"),
        (place("/target/file/hashes", json!({})), 400, "sha1"),
        (place("/target/file/hashes/md5", json!("0".repeat(32))), 501, "md5"),
        (place("/target/file/hashes/sha1", json!("00")), 400, "sha1"),
        (
            place("/target/file/hashes/sha1", json!("da39a3ee5e6b4b0d3255bfef95601890afd80709")),
            400,
            "placeholder",
        ),
        (place("/target/file/size", json!(7)), 400, "target.file"),
        (place("/command_id", json!("")), 400, "command_id"),
        (place("/command_id", json!("a b")), 400, "command_id"),
        (place("/command_id", json!("x".repeat(37))), 400, "command_id"),
        (place("/command_id", json!("a\u{202e}b")), 400, "alert id"),
        (place("/command_id", Value::Null), 400, "command_id"),
        (place("/signature", json!("eyJ")), 501, "signature"),
        (place("/actions", json!([])), 400, "the message"),
        (place("/headers", json!({})), 400, "one message"),
        (query(json!(["secrets"])), 400, "features"),
        (with(query(json!([])), "/args", json!({"response_requested": "ack"})), 400, "query features"),
        (with(query(json!([])), "/args", json!({"er": {}})), 400, "query features"),
        (with(query(json!([])), "/target", json!({"file": {"name": "a"}})), 400, "no pair"),
        (with(contain("c1"), "/target", json!({"features": []})), 400, "no pair"),
    ];
    for (command, status, text) in refused {
        for body in [command.clone(), message(REQUEST_ID, 0, &command)] {
            // What is not a command's own is of the message, and a message without an id of its own has its request's.
            let is_about_form = ["the message", "one message", "signature"].contains(&text);
            let has_an_id = body.get("body").is_some() && command["command_id"].is_null();
            if (is_about_form || (text == "command_id" && has_an_id)) && body.get("body").is_some() {
                continue;
            }
            let answer = send(&bridge, &token, &body).await;
            let (http, own, said) = told(&answer);
            assert_eq!((u64::from(http), own), (status, status), "{command}: {said}");
            assert!(said.contains(text), "{command}: {said}");
            assert_eq!(
                answer.body.get("headers").is_some(),
                body.get("headers").is_some() && body.get("body").is_some()
            );
        }
    }
    assert_eq!(actions(&bridge).await, 0);
    let db = Connection::open(bridge.database()).unwrap();
    let kept: u32 = db.query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn a_hostile_body_is_answered_and_nothing_is_kept() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let good = contain("c1").to_string();
    let deep =
        format!(r#"{{"action": "contain", "target": {}1{}"#, r#"{"er":"#.repeat(5_000), "}".repeat(5_001));
    for body in [
        String::new(),
        "null".to_owned(),
        good.replace("\"action\"", "\"command_id\":null,\"action\""),
        json!({"body": {"openc2": {"request": contain("c1")}}, "command_id": null}).to_string(),
        json!({"body": {"openc2": {"request": contain("c1")}}, "action": "query"}).to_string(),
        "[]".to_owned(),
        "{".to_owned(),
        good.replace("\"action\"", "\"action\":\"contain\",\"action\""),
        good.replace("\"hashes\":{", &format!("\"hashes\":{{\"sha1\":\"{OTHER_SHA1}\",")),
        good.replace("\"contain\"", "7"),
        r#"{"headers": 7, "body": 7}"#.to_owned(),
        r#"{"headers": {"request_id": "a\r\nb"}, "body": {"openc2": {"response": {"status": 200}}}}"#
            .to_owned(),
        deep,
    ] {
        assert_eq!(send(&bridge, &token, &body).await.status, 400, "{body:.100}");
    }
    let large = with(contain("c1"), "/args/x-qbridge", json!({"note": "x".repeat(300_000)}));
    assert_eq!(told(&send(&bridge, &token, &large).await).0, 400);
    let raw = bridge.request(ENDPOINT).bearer_auth(&token).body(vec![0xff, 0xfe]);
    assert_eq!(bridge.send(raw).await.status, 400);
    let untyped = bridge.request(ENDPOINT).bearer_auth(&token).header("content-type", "text/plain");
    assert_eq!(bridge.send(untyped.body(good.clone())).await.status, 400);
    assert_eq!(actions(&bridge).await, 0);
    // An id that cannot stand in a header does not come back, and one that can does.
    for (sent, back) in [("a b", None), ("\u{e9}", None), ("run-4711", Some("run-4711"))] {
        let request = bridge.request(ENDPOINT).bearer_auth(&token).header("x-request-id", sent);
        let answer = bridge.send(request.body("{}")).await;
        let id = answer.headers["x-request-id"].as_str();
        assert_eq!((answer.status, (id == sent).then_some(id)), (400, back));
    }
}

#[tokio::test]
async fn a_command_is_known_by_its_id() {
    let mut bridge = Bridge::with(setup()).await;
    let (token, other) = (bridge.requester("soar", None), bridge.requester("another", None));
    let first = send(&bridge, &token, contain("c1")).await;
    let files = |sha1: &str| with(contain("c1"), "/target/file/hashes/sha1", json!(sha1));

    let conflict = send(&bridge, &token, files(OTHER_SHA1)).await;
    let wished =
        send(&bridge, &token, with(contain("c1"), "/args/response_requested", json!("status"))).await;

    let text = "Another command came under this command_id. Nothing was stored.";
    assert_eq!(told(&conflict), (400, 400, text));
    assert_eq!(action_id(&wished), action_id(&first));
    // A restart forgets nothing of it.
    bridge = bridge.restart().await;
    assert_eq!(action_id(&send(&bridge, &token, contain("c1")).await), action_id(&first));
    assert_eq!(told(&send(&bridge, &token, files(OTHER_SHA1)).await).1, 400);
    // Each caller has ids of its own; the alert, the device and the file tell that it is the same.
    let others = send(&bridge, &other, contain("c1")).await;
    assert_eq!(others.body["results"]["x-qbridge"]["duplicate"], true);
    assert_eq!((action_id(&others), actions(&bridge).await), (action_id(&first), 1));
    // No Idempotency-Key of the other way is the same as a command's id.
    let asked =
        json!({"alert_id": "b", "severity": "high", "machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let keyed = bridge.request("/v1/actions").bearer_auth(&token).header("idempotency-key", "c1");
    assert_eq!(bridge.send(keyed.body(asked.to_string())).await.status, 202);
    // The id of the request stands for a command's own, from the message or the header.
    let nameless = with(contain("c1"), "/command_id", Value::Null);
    let by_message = send(&bridge, &token, message("r1", 0, &nameless)).await;
    let by_header = bridge.request(ENDPOINT).bearer_auth(&token).header("x-request-id", "r1");
    let by_header = bridge.send(by_header.body(nameless.to_string())).await;
    assert_eq!(action_id(&by_message), action_id(&by_header));
    assert_eq!(bridge.action(&action_id(&by_message)).await["alert"]["id"], "r1");
}

#[tokio::test]
async fn a_response_comes_when_it_is_wanted() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let wish = |wish: &str| with(contain("c1"), "/args/response_requested", json!(wish));

    let none = send(&bridge, &token, wish("none")).await;
    assert_eq!((none.status, &none.body), (204, &json!("")));
    assert_eq!(actions(&bridge).await, 1);
    bridge.run_for(SignedDuration::from_mins(1)).await;
    let (acknowledged, status) =
        (send(&bridge, &token, wish("ack")).await, send(&bridge, &token, wish("status")).await);

    assert_eq!((told(&acknowledged).1, told(&status).1), (102, 200));
    let waits = bridge.request(ENDPOINT).bearer_auth(&token).header("prefer", "wait=30");
    let waited = bridge.send(waits.body(contain("c1").to_string())).await;
    assert_eq!((told(&waited), waited.headers["preference-applied"].as_str()), ((200, 200, ""), "wait=30"));
}

#[tokio::test]
async fn only_what_is_surely_done_is_answered_200() {
    let guards = |guards: &mut quarantine_bridge::policy::Guards| {
        guards.set(quarantine_bridge::policy::Guard::CoolDown, None);
    };
    let mut bridge = Bridge::with(Setup { guards, ..setup() }).await;
    let token = bridge.requester("soar", None);
    let shadow = bridge.requester("rehearsal", Some(Mode::Shadow));
    let ours = |id: &str, ours: Value| with(contain(id), "/args/x-qbridge", ours);
    let (denied, expired) = (
        ours("denied", json!({"severity": "informational"})),
        ours("expired", json!({"occurred_at": "2026-02-01T00:00:00Z"})),
    );
    for command in [&denied, &expired] {
        assert_eq!(told(&send(&bridge, &token, command).await).1, 102);
    }
    assert_eq!(told(&send(&bridge, &shadow, contain("shadow")).await).1, 102);
    bridge.drain().await;

    let no = send(&bridge, &token, &denied).await;
    let (http, status, text) = told(&no);
    assert_eq!((http, status), (403, 403));
    assert!(text.contains("below the floor"), "{text}");
    assert_eq!(told(&send(&bridge, &token, &expired).await).0, 500);
    let rehearsed = send(&bridge, &shadow, contain("shadow")).await;
    let (http, status, text) = told(&rehearsed);
    assert_eq!((http, status), (403, 403));
    assert!(text.contains("nothing was sent"), "{text}");
    assert_eq!(bridge.quarantines(), Vec::<Value>::new());

    take_device_offline(&bridge.simulator);
    let slow = send(&bridge, &token, contain("slow")).await;
    bridge.drain().await;
    assert_eq!(told(&send(&bridge, &token, contain("slow")).await).1, 102);
    let cancel = bridge.new_token(&[Scope::ActionsCancel]);
    let path = format!("/v1/actions/{}/cancel", action_id(&slow));
    bridge.post_as(&path, &cancel, &json!({"reason": "r"})).await;
    bridge.run_for(SignedDuration::from_mins(5)).await;
    let over = send(&bridge, &token, contain("slow")).await;
    let (http, _, text) = told(&over);
    assert_eq!(http, 500, "{text}");
    assert!(text.contains("cancelled"), "{text}");
}

#[tokio::test]
async fn features_are_told() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let query = |features: Value| json!({"action": "query", "target": {"features": features}});
    let all = ["versions", "profiles", "pairs", "rate_limit", "versions"];

    let (told_all, none) =
        (send(&bridge, &token, query(json!(all))).await, send(&bridge, &token, query(json!([]))).await);

    let results = json!({"versions": ["1.0"], "profiles": ["er"], "rate_limit": 100,
        "pairs": {"query": ["features"], "contain": ["file"]}});
    assert_eq!(told_all.body, json!({"status": 200, "results": results}));
    assert_eq!(none.body, json!({"status": 200}));
    let complete = with(query(json!(["versions"])), "/args", json!({"response_requested": "complete"}));
    let complete = send(&bridge, &token, message(REQUEST_ID, 0, &complete)).await;
    assert_eq!(complete.body["body"]["openc2"]["response"]["results"], json!({"versions": ["1.0"]}));
    // What the source may deliver bounds it as well, and a query counts as one.
    let quota = Quota { rate: Rate::per_minute(30, 2), retries_429: true };
    let bridge = Bridge::with(Setup { quota, ..setup() }).await;
    let token = bridge.requester("soar", None);
    let limited = send(&bridge, &token, query(json!(["rate_limit"]))).await;
    assert_eq!(limited.body["results"]["rate_limit"], 30);
    send(&bridge, &token, query(json!([]))).await;
    let over = send(&bridge, &token, query(json!([]))).await;
    assert_eq!((told(&over).0, told(&over).1, over.headers["retry-after"].as_str()), (503, 503, "2"));
}

#[tokio::test]
async fn who_may_not_ask_may_not_command() {
    let bridge = Bridge::with(setup()).await;
    let post = async |path: &str, token: &str| bridge.post_as(path, token, &contain("c1")).await.status;
    let reader = bridge.new_token(&[Scope::ActionsRead, Scope::AuditRead]);
    for path in [ENDPOINT, "/.well-known/openc2"] {
        assert_eq!(post(path, &reader).await, 403);
        assert_eq!(post(path, "qb_nobody").await, 401);
    }
    assert_eq!(actions(&bridge).await, 0);
    assert_eq!(post("/.well-known/openc2", &bridge.requester("soar", None)).await, 200);
    bridge.reconfigure(|config| {
        let playbooks = config.http.sources.iter_mut().find(|source| source.name.as_str() == "playbooks");
        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        playbooks.unwrap().gate = Gate::new(Scheme::ApiTokens, Vec::new(), networks);
    });
    let elsewhere = send(&bridge, &bridge.requester("soar", None), contain("c2")).await;
    assert_eq!((told(&elsewhere).0, elsewhere.headers["www-authenticate"].as_str()), (401, "Bearer"));
    let without = Bridge::with(Setup { playbooks: None, ..Setup::default() }).await;
    assert_eq!(told(&send(&without, &without.requester("soar", None), contain("c1")).await).0, 503);
}

#[tokio::test]
async fn what_retention_has_deleted_is_not_done_again() {
    let retention = Retention { after: SignedDuration::from_hours(24), ..Retention::default() };
    let mut bridge = Bridge::with(Setup { retention, ..setup() }).await;
    let token = bridge.requester("soar", None);
    send(&bridge, &token, contain("c1")).await;
    bridge.run_for(SignedDuration::from_mins(1)).await;
    bridge.clock.advance(SignedDuration::from_hours(24 * 3));
    assert_eq!(bridge.prune().await.actions, 1);

    assert_eq!(told(&send(&bridge, &token, contain("c1")).await).0, 404);
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn the_examples_of_the_document_are_taken() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let body = &OPENAPI["paths"][ENDPOINT]["post"]["requestBody"]["content"]["application/openc2+json"];
    let examples = body["examples"].as_object().unwrap();
    for (name, example) in examples {
        let answer = send(&bridge, &token, &example["value"]).await;
        assert_eq!(answer.status, 200, "{name}: {:?}", answer.body);
    }
    assert_eq!((examples.len(), actions(&bridge).await), (3, 1));
}

/// The same bytes are one delivery. Retention keeps it as long as one of its alerts, so it names them all.
#[tokio::test]
async fn a_command_that_comes_again_under_another_request_id_is_of_the_same_delivery() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("soar", None);
    let command = with(contain("c1"), "/command_id", Value::Null).to_string();
    let mut ids = Vec::new();
    for request_id in ["r1", "r2"] {
        let request = bridge.request(ENDPOINT).bearer_auth(&token).header("x-request-id", request_id);
        ids.push(action_id(&bridge.send(request.body(command.clone())).await));
        bridge.run_for(SignedDuration::from_mins(2)).await;
    }

    assert_ne!(ids[0], ids[1]);
    let delivery_id = bridge.action(&ids[1]).await["delivery_id"].as_str().unwrap().to_owned();
    let delivery = bridge.get(&format!("/v1/deliveries/{delivery_id}")).await;
    assert_eq!(delivery.body["alert_ids"], json!(["r1", "r2"]), "{:?}", delivery.body);
}
