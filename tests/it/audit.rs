//! The audit: what is in it, what is not sent without it, and how it is handed out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jiff::SignedDuration;
use quarantine_bridge::store::{Options, Retention, Scope, back_up};
use reqwest::Client;
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::binary::Installation;
use crate::harness::{Bridge, MACHINE, SHA1, Setup, poll, take_device_offline};

/// The entries of a bridge's audit.
fn entries(bridge: &Bridge) -> Vec<Value> {
    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    texts.map(|text| serde_json::from_str(&text.unwrap()).unwrap()).collect()
}

fn of_kind(entries: &[Value], kind: &str) -> Vec<Value> {
    entries.iter().filter(|entry| entry["deed"]["kind"] == kind).cloned().collect()
}

fn of_act(entries: &[Value], act: &str) -> Vec<Value> {
    entries.iter().filter(|entry| entry["deed"]["act"] == act).cloned().collect()
}

#[tokio::test]
async fn the_whole_way_of_an_action_is_in_it() {
    let mut bridge = Bridge::start().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    let alert_sha256 = hex::encode(Sha256::digest(&body));
    let answer = bridge.post("msg_1", body).await;
    let id = answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");

    let entries = entries(&bridge);

    let kinds: Vec<&str> = entries.iter().map(|entry| entry["deed"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["configuration", "administration", "decision", "intent", "outcome", "change"]);
    for entry in &entries[2..] {
        let subject = &entry["subject"];
        assert_eq!(subject["action"], id);
        assert_eq!(subject["alert_id"], "a1");
        assert_eq!(subject["alert_sha256"], alert_sha256);
        assert_eq!((&subject["machine_id"], &subject["sha1"]), (&json!(MACHINE), &json!(SHA1)));
        assert!(subject["key_id"].is_string(), "{entry}");
    }
    let policy = &entries[0]["deed"]["sources"]["soc"]["policy"];
    assert_eq!(&entries[2]["deed"]["policy"], policy, "the policy that was loaded decided");
    assert_eq!(&entries[3]["deed"]["policy"], policy);
    for entry in &entries[2..4] {
        let facts = entry["deed"]["moves"].to_string();
        assert!(
            facts.contains("severity: pass") && facts.contains("prevalence: pass"),
            "each guard: {facts}"
        );
    }
    let machine_action = bridge.action(&id).await["machine_action"]["id"].clone();
    assert_eq!(entries[4]["subject"]["machine_action"], machine_action);
    assert_eq!(
        (&entries[4]["who"], &entries[4]["deed"]["answer"]["outcome"]),
        (&json!("defender"), &json!("accepted"))
    );
    assert_eq!(entries[5]["deed"]["moves"][0]["to"], "succeeded");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_sent() {
    let mut bridge = Bridge::start().await;
    let db = Connection::open(bridge.database()).unwrap();
    db.execute_batch(
        r#"CREATE TRIGGER full BEFORE INSERT ON audit WHEN NEW.entry LIKE '%"kind":"intent"%'
           BEGIN SELECT RAISE(ABORT, 'no room'); END;"#,
    )
    .unwrap();
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!((bridge.quarantines().len(), bridge.state(&id).await.as_str()), (0, "queued"));

    db.execute_batch("DROP TRIGGER full").unwrap();
    bridge.run_for(SignedDuration::from_secs(120)).await;

    assert_eq!((bridge.quarantines().len(), bridge.state(&id).await.as_str()), (1, "succeeded"));
}

#[tokio::test]
async fn the_database_itself_takes_nothing_but_the_next_entry() {
    let bridge = Bridge::start().await;
    let db = Connection::open(bridge.database()).unwrap();
    for sql in [
        "UPDATE audit SET entry = '{}' WHERE seq = 1",
        "UPDATE audit SET seq = 9 WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (seq, entry, hash) SELECT seq, '{}', hash FROM audit WHERE seq = 1",
        "INSERT INTO audit (seq, entry, hash) SELECT seq + 9, entry, hash FROM audit",
    ] {
        let refused = db.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("the audit"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn what_persons_do_is_in_it_with_their_names_and_reasons() {
    let mut bridge = Bridge::start().await;
    let named = String::from_utf8(bridge.alert("a1", MACHINE, SHA1)).unwrap();
    let named = named.replace(&format!("\"id\":\"{MACHINE}\""), "\"ip\":\"203.0.113.9\"");
    let answer = bridge.post("msg_1", named).await;
    let held = answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    let delivery = answer.body["delivery_id"].as_str().unwrap().to_owned();
    bridge.run_for(SignedDuration::from_secs(10)).await;
    assert_eq!(bridge.state(&held).await, "held");
    let token = bridge.new_token(&[Scope::ActionsComplete, Scope::ActionsCancel, Scope::DeliveriesReplay]);
    for (path, body) in [
        (format!("/v1/actions/{held}/complete"), json!({"machine_id": MACHINE, "reason": "asset list"})),
        (format!("/v1/actions/{held}/cancel"), json!({"reason": "=cmd: false alarm"})),
        (format!("/v1/deliveries/{delivery}/replay"), Value::Null),
    ] {
        let request = bridge.request(&path).bearer_auth(&token).header("content-type", "application/json");
        let answer = bridge.send(request.body(body.to_string())).await;
        assert!((200..300).contains(&answer.status), "{path}: {:?}", answer.body);
    }

    let entries = entries(&bridge);

    let completed = &of_act(&entries, "complete_action")[0];
    assert_eq!(
        (&completed["who"], &completed["deed"]["reason"]),
        (&json!("token:test"), &json!("asset list"))
    );
    assert_eq!(completed["deed"]["after"], format!("machine {MACHINE}"));
    assert_eq!(completed["subject"]["action"], held);
    let cancelled = &of_act(&entries, "cancel_action")[0];
    assert_eq!(cancelled["deed"]["reason"], "=cmd: false alarm");
    assert_eq!(of_act(&entries, "replay_delivery")[0]["deed"]["to"], format!("delivery {delivery}"));
    assert_eq!(of_act(&entries, "create_token").len(), 2);
}

#[tokio::test]
async fn a_cancel_call_is_in_it_before_and_after() {
    let mut bridge = Bridge::start().await;
    take_device_offline(&bridge.simulator);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(30)).await;
    assert_eq!(bridge.state(&id).await, "submitted");
    let token = bridge.new_token(&[Scope::ActionsCancel]);
    let request = bridge.request(&format!("/v1/actions/{id}/cancel")).bearer_auth(&token);
    let request = request.header("content-type", "application/json").body(r#"{"reason": "wrong file"}"#);
    assert_eq!(bridge.send(request).await.status, 202);
    bridge.run_for(SignedDuration::from_mins(2)).await;

    let entries = entries(&bridge);

    let call = &of_kind(&entries, "cancel_call")[0];
    assert_eq!(call["who"], "token:test");
    assert!(call["deed"]["comment"].as_str().unwrap().contains("wrong file"));
    assert_eq!(of_kind(&entries, "cancel_outcome").len(), 1);
}

#[tokio::test]
async fn retention_leaves_it_alone() {
    let hours = |hours| SignedDuration::from_hours(hours);
    let retention = Retention { after: hours(24), duplicates: hours(30 * 24) };
    let mut bridge = Bridge::with(Setup { retention, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let before = entries(&bridge);
    bridge.clock.advance(hours(25));
    assert_eq!(bridge.prune().await.actions, 1);

    assert_eq!(entries(&bridge), before);
    assert_eq!(of_kind(&before, "intent")[0]["subject"]["action"], id, "it names what is gone");
}

#[tokio::test]
async fn a_restore_is_in_it_and_the_chain_goes_on() {
    let mut bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup.db");
    let made_at = bridge.clock.now().as_millisecond();
    back_up(&Options { path: bridge.database() }, &backup, bridge.clock.now()).unwrap();
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let lost = entries(&bridge);

    let bridge = bridge.restore(&backup).await;

    let kept = entries(&bridge);
    let restores = of_kind(&kept, "restore");
    assert_eq!(restores.len(), 1);
    assert_eq!(restores[0]["deed"]["backup_at"], made_at);
    assert_ne!(kept, lost, "what came after the backup is lost");
}

#[tokio::test]
async fn it_is_read_by_the_api_a_page_at_a_time() {
    let mut bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let token = bridge.new_token(&[Scope::AuditRead]);
    let get = async |path: &str| {
        let client = Client::builder().no_proxy().build().unwrap();
        bridge.send(client.get(bridge.url(path)).bearer_auth(&token)).await
    };

    let first = get("/v1/audit?limit=3").await;
    let next = first.body["next_after"].as_u64().unwrap();
    let second = get(&format!("/v1/audit?after={next}")).await;

    assert_eq!((first.body["entries"].as_array().unwrap().len(), next), (3, 3));
    assert_eq!(second.body["next_after"], Value::Null);
    let mut digest = vec![0; 32];
    for entry in [&first, &second].iter().flat_map(|page| page.body["entries"].as_array().unwrap()) {
        let text = entry["text"].as_str().unwrap();
        digest = Sha256::new().chain_update(&digest).chain_update(text).finalize().to_vec();
        assert_eq!(entry["hash"], hex::encode(&digest), "anybody can follow the chain");
        assert_eq!(entry["entry"], serde_json::from_str::<Value>(text).unwrap());
    }
    assert_eq!(first.body["head"]["hash"], second.body["head"]["hash"]);
    for bad in ["limit=0", "limit=201", "after=-1", "since=3"] {
        assert_eq!(get(&format!("/v1/audit?{bad}")).await.status, 400, "{bad}");
    }
}

/// An installation with a key; returns the public half too.
fn signed_installation(more: &str) -> (Installation, String) {
    let installation = Installation::new("http://127.0.0.1:9", more);
    let made = installation.run(&["audit", "key", "audit-key"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let public = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let bits = fs::metadata(installation.path("audit-key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits, 0o600);
    installation.edit("[store]", "[audit]\nsigning_key = { file = \"audit-key\" }\n\n[store]");
    (installation, public)
}

fn run(installation: &Installation, arguments: &[&str]) -> (bool, String, String) {
    let output = installation.run(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn make_token(installation: &Installation, name: &str) {
    let (is_good, _, said) = run(installation, &["token", "create", "--name", name, "--scope", "metrics"]);
    assert!(is_good, "{said}");
}

#[test]
fn what_is_cut_off_after_a_checkpoint_is_found() {
    let (installation, public) = signed_installation("");
    make_token(&installation, "one");
    make_token(&installation, "two");
    let (is_good, checkpoint, said) = run(&installation, &["audit", "checkpoint"]);
    assert!(is_good, "{said}");
    installation.write("kept", &checkpoint);
    let verify = ["audit", "verify", "--public-key", &public, "--checkpoints", "kept"];
    let (is_good, said, _) = run(&installation, &verify);
    assert!(is_good && said.contains("2 checkpoints fit"), "{said}");

    let db = Connection::open(installation.path("bridge.db")).unwrap();
    db.execute_batch("DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq > 1").unwrap();

    assert!(run(&installation, &["audit", "verify"]).0, "without a checkpoint it is not seen");
    let (is_good, _, said) = run(&installation, &verify);
    assert!(!is_good && said.contains("the record ends at entry 1"), "{said}");
    let forged = checkpoint.replace("\"seq\":2", "\"seq\":1");
    installation.write("kept", &forged);
    let (is_good, _, said) = run(&installation, &verify);
    assert!(!is_good && said.contains("kept:1") && said.contains("signature is wrong"), "{said}");
    installation.write("kept", &checkpoint);
    let other = installation.run(&["audit", "key", "other-key"]);
    let other = String::from_utf8(other.stdout).unwrap();
    let (is_good, _, said) =
        run(&installation, &["audit", "verify", "--public-key", other.trim(), "--checkpoints", "kept"]);
    assert!(!is_good && said.contains("that public key was not given"), "{said}");
}

#[test]
fn it_is_exported_whole_and_the_copy_is_verified_too() {
    let (installation, public) = signed_installation("");
    make_token(&installation, "one");
    run(&installation, &["audit", "checkpoint"]);
    let (_, record, _) = run(&installation, &["audit", "export", "--format", "record"]);
    installation.write("record.jsonl", &record);
    let verify = ["audit", "verify", "--record", "record.jsonl", "--public-key", &public];
    let (is_good, said, _) = run(&installation, &verify);
    assert!(is_good && said.contains("2 entries, none changed"), "{said}");
    for line in record.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["entry"]["seq"].is_u64());
    }

    installation.write("record.jsonl", &record.replacen("uid ", "uid 1", 1));
    let (is_good, _, said) = run(&installation, &verify);
    assert!(!is_good && said.contains("broken at entry 1"), "{said}");
    let (_, rest, _) = run(&installation, &["audit", "export", "--format", "record", "--after", "1"]);
    assert_eq!(record.lines().last(), rest.lines().last());
    assert_eq!(rest.lines().count(), 1);
}

#[test]
fn a_spreadsheet_finds_no_formula_in_it() {
    let (installation, _) = signed_installation("");
    for name in ["=HYPERLINK(\"x\")", "+1", "@SUM(A1)", "  =1+1", "\u{ff1d}1"] {
        make_token(&installation, name);
    }
    let (_, csv, _) = run(&installation, &["audit", "export", "--format", "csv"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 6, "{csv}");
    for line in &lines[1..] {
        assert_eq!(line.matches("\",\"").count() + 1, lines[0].split(',').count(), "{line}");
        for field in line.trim_matches('"').split("\",\"") {
            assert!(!field.trim_start().starts_with(['=', '+', '-', '@', '\t']), "{field}");
        }
    }
}

#[tokio::test]
async fn configurations_are_in_it_loaded_reloaded_and_refused() {
    let (installation, public) = signed_installation("");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let text = fs::read_to_string(installation.config()).unwrap();
    installation.edit("mode = \"enforce\"", "mode = \"shadow\"");
    serving.hang_up();
    poll("the reload", || installation.log().contains("read again and is in use")).await;
    fs::write(installation.config(), format!("{text}\n[nonsense]\n")).unwrap();
    serving.hang_up();
    poll("the refusal", || installation.log().contains("the one before stays in use")).await;
    fs::write(installation.config(), &text).unwrap();
    poll("a checkpoint", || installation.log().contains("audit checkpoint")).await;
    let log = installation.log();
    assert_eq!(serving.terminate().await, Some(0));

    let (_, events, said) = run(&installation, &["audit", "export"]);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let read = |event: &Value| event["api"]["operation"].as_str().unwrap_or_default().to_owned();
    let read: Vec<String> = events.iter().map(read).filter(|it| it.starts_with("configuration")).collect();
    assert!(
        read.starts_with(&[
            "configuration_loaded".to_owned(),
            "configuration_reloaded".to_owned(),
            "configuration_refused".to_owned()
        ]),
        "{read:?} {said}"
    );
    for event in &events {
        let class = event["class_uid"].as_u64().unwrap();
        assert_eq!(event["type_uid"].as_u64().unwrap(), class * 100 + event["activity_id"].as_u64().unwrap());
        assert_eq!(event["metadata"]["version"], "1.4.0");
    }
    let entry = |event: &Value| serde_json::from_str::<Value>(event["raw_data"].as_str().unwrap()).unwrap();
    let entries: Vec<Value> = events.iter().map(entry).collect();
    let modes: Vec<_> = ["loaded", "reloaded"]
        .iter()
        .map(|act| of_act(&entries, act)[0]["deed"]["sources"]["soc"].clone())
        .collect();
    assert_eq!((&modes[0]["mode"], &modes[1]["mode"]), (&json!("enforce"), &json!("shadow")));
    assert_ne!(modes[0]["policy"], modes[1]["policy"]);
    let line = log.lines().find(|line| line.contains("audit checkpoint")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let checkpoint = line["checkpoint"].as_str().or(line["fields"]["checkpoint"].as_str()).unwrap();
    installation.write("kept", checkpoint);
    let (is_good, said, wrong) =
        run(&installation, &["audit", "verify", "--public-key", &public, "--checkpoints", "kept"]);
    assert!(is_good, "{said} {wrong}");
}

#[test]
fn a_key_that_is_none_and_a_bad_interval_are_told() {
    let (installation, _) = signed_installation("");
    installation.write_secret("audit-key", "qbsk_short");
    installation.edit("[audit]", "[audit]\ncheckpoint_every = \"2s\"");
    let (is_good, _, said) = run(&installation, &["check"]);
    assert!(!is_good);
    assert!(said.contains("audit key FILE") && said.contains("between 1 minute and 24 hours"), "{said}");
    let (is_good, _, said) = run(&installation, &["audit", "key", "audit-key"]);
    assert!(!is_good && said.contains("audit-key cannot be made"), "{said}");
}
