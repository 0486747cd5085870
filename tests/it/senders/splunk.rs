//! Splunk: the alert action, called as splunkd calls it, with splunkd's credential store played by a stub.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    BUSY_FOR_EVER, Front, Ran, Receiver, WRONG, assert_pair, assert_same_delivery, kit, read, run, tool,
};
use crate::harness::{MACHINE, SHA1, WHSEC};

const APP: &str = "splunk/TA-quarantine-bridge";
const SESSION: &str = "session-key-canary-51c2";

/// splunkd's REST API on loopback, as far as the action calls it.
async fn splunkd(secret: &str) -> Front {
    let body = json!({"entry": [{"name": "quarantine_bridge:soc:", "content": {"realm": "quarantine_bridge",
        "username": "soc", "clear_password": secret}}]})
    .to_string();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    Front::answering(0, usize::MAX, format!("{head}connection: close\r\n\r\n{body}")).await
}

/// Writes the rows as splunkd does: CSV, compressed.
async fn results(receiver: &Receiver, csv: &str) -> PathBuf {
    let path = receiver.installation.path("results.csv.gz");
    let mut command = tool("python3");
    let code = "import gzip, sys; gzip.open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())";
    command.arg("-c").arg(code).arg(&path);
    run(command, csv).await.assert_code(0);
    path
}

async fn trigger(receiver: &Receiver, splunkd: &Front, url: &str, csv: &str, more: Value) -> Ran {
    let mut configuration =
        json!({"url": url, "secret_name": "soc", "severity": "high", "id_field": "event_id"});
    configuration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let input = json!({
        "app": "search", "owner": "admin", "sid": "scheduler__admin__search__RMD5_at_1700000000_1",
        "search_name": "Malware on an endpoint", "results_file": results(receiver, csv).await,
        "results_link": "http://splunk:8000/app/search", "server_host": "splunk",
        "server_uri": format!("http://127.0.0.1:{}", splunkd.port), "session_key": SESSION,
        "configuration": configuration, "result": {},
    });
    let mut command = tool("python3");
    command.arg(kit(APP).join("bin/quarantine_bridge.py")).arg("--execute");
    let ran = run(command, &input.to_string()).await;
    assert!(!ran.err.contains(SESSION), "{ran:?}");
    ran
}

fn seconds() -> i64 {
    quarantine_bridge::clock::Clock::system().now().as_second()
}

const OTHER_MACHINE: &str = "3333333333cccccccccc3333333333cccccccccc";
const OTHER_SHA1: &str = "4444444444dddddddddd4444444444dddddddddd";

/// Two rows, with the hash in two of the forms that are seen in the wild.
fn two_rows() -> String {
    let now = seconds();
    format!(
        "_time,machine_id,dest,file_hash,file_name,event_id,__mv_dest\n\
         {now}.250,{MACHINE},ws1.corp.example,{SHA1},evil.dll,guid@@notable@@1,\n\
         {now},{OTHER_MACHINE},ws2.corp.example,\"SHA1={},MD5=00,SHA256={}\",\"na\u{ef}ve, \"\"x\"\".dll\",,\n",
        OTHER_SHA1.to_uppercase(),
        "ab".repeat(32),
    )
}

#[tokio::test]
async fn every_row_becomes_an_action() {
    let receiver = Receiver::start().await;
    let mut splunkd = splunkd(WHSEC).await;

    let ran = trigger(&receiver, &splunkd, &receiver.url(), &two_rows(), json!({})).await;

    ran.assert_code(0);
    let asked = splunkd.requests();
    let path = "GET /servicesNS/nobody/TA-quarantine-bridge/storage/passwords/quarantine_bridge%3Asoc%3A?output_mode=json";
    assert!(asked[0].head.starts_with(path), "{asked:?}");
    assert_eq!(asked[0].header("authorization"), Some(format!("Splunk {SESSION}").as_str()));
    let mut actions = receiver.actions().await;
    actions.sort_by_key(|action| action["machine"]["id"].to_string());
    assert_eq!(actions.len(), 2);
    assert_pair(&actions[0], MACHINE, SHA1);
    assert_pair(&actions[1], OTHER_MACHINE, OTHER_SHA1);
    assert_eq!(actions[0]["alert"]["id"], "guid@@notable@@1");
    assert_eq!(actions[0]["alert"]["severity"], "high");
    assert!(actions[1]["alert"]["id"].as_str().unwrap().starts_with("splunk:"));
    assert_eq!(actions[1]["file"]["name"], "na\u{ef}ve, \"x\".dll");
}

#[tokio::test]
async fn a_search_that_finds_its_rows_again_makes_no_new_action() {
    let receiver = Receiver::start().await;
    let splunkd = splunkd(WHSEC).await;
    let rows = two_rows();
    // A later run finds one of the rows only: another body, but the same alert.
    let first = rows.lines().nth(1).unwrap();
    let later = rows.replace(&format!("{first}\n"), "");

    trigger(&receiver, &splunkd, &receiver.url(), &rows, json!({})).await.assert_code(0);
    trigger(&receiver, &splunkd, &receiver.url(), &later, json!({})).await.assert_code(0);

    assert_eq!(receiver.actions().await.len(), 2);
}

#[tokio::test]
async fn many_rows_go_in_several_deliveries() {
    let receiver = Receiver::start().await;
    let splunkd = splunkd(WHSEC).await;
    let mut front = receiver.behind_busy(0).await;
    let header = "_time,machine_id,file_hash,event_id".to_owned();
    let rows = (0..250).map(|n| format!("{},{MACHINE},{SHA1},e{n}", seconds()));
    let csv: Vec<String> = [header].into_iter().chain(rows).collect();

    trigger(&receiver, &splunkd, &front.url(), &csv.join("\n"), json!({})).await.assert_code(0);

    assert_eq!(front.requests().len(), 3);
}

#[tokio::test]
async fn fields_and_severity_are_as_configured() {
    let receiver = Receiver::start().await;
    let splunkd = splunkd(WHSEC).await;
    let csv = format!("when,device,sha,urgency\n{},{MACHINE},{SHA1},Critical\n", seconds());
    let fields = json!({"time_field": "when", "machine_id_field": "device", "file_hash_field": "sha",
        "severity_field": "urgency"});

    trigger(&receiver, &splunkd, &receiver.url(), &csv, fields).await.assert_code(0);

    assert_eq!(receiver.assert_one_action().await["alert"]["severity"], "critical");
}

#[tokio::test]
async fn a_row_that_the_bridge_refuses_is_told_and_does_not_stop_the_others() {
    let receiver = Receiver::start().await;
    let splunkd = splunkd(WHSEC).await;
    let csv = format!(
        "_time,machine_id,file_hash,event_id\n{0},{MACHINE},not-a-hash,bad\n{0},{MACHINE},{SHA1},good\n",
        seconds()
    );

    let ran = trigger(&receiver, &splunkd, &receiver.url(), &csv, json!({})).await;

    ran.assert_code(1);
    assert!(
        ran.err.contains("ERROR the bridge refused an alert") && ran.err.contains("not-a-hash"),
        "{ran:?}"
    );
    assert_eq!(receiver.assert_one_action().await["alert"]["id"], "good");
}

#[tokio::test]
async fn a_busy_bridge_is_tried_again_and_then_told() {
    let receiver = Receiver::start().await;
    let splunkd = splunkd(WHSEC).await;
    let csv = format!("_time,machine_id,file_hash\n{},{MACHINE},{SHA1}\n", seconds());
    let mut front = receiver.behind_busy(2).await;

    trigger(&receiver, &splunkd, &front.url(), &csv, json!({})).await.assert_code(0);

    let requests = front.requests();
    assert_eq!(requests.len(), 3);
    assert_same_delivery(&requests);
    receiver.assert_one_action().await;
    let never = receiver.behind_busy(BUSY_FOR_EVER).await;
    let ran = trigger(&receiver, &splunkd, &never.url(), &csv, json!({})).await;
    assert!(ran.assert_code(1).err.contains("ERROR 4 tries failed"), "{ran:?}");
}

#[tokio::test]
async fn a_wrong_or_missing_secret_fails_loudly() {
    let receiver = Receiver::start().await;
    let csv = format!("_time,machine_id,file_hash\n{},{MACHINE},{SHA1}\n", seconds());

    let ran = trigger(&receiver, &splunkd(WRONG).await, &receiver.url(), &csv, json!({})).await;
    assert!(ran.assert_code(1).err.contains("compare the secrets"), "{ran:?}");
    let ran = trigger(&receiver, &splunkd("not whsec").await, &receiver.url(), &csv, json!({})).await;
    assert!(ran.assert_code(3).err.contains("whsec_"), "{ran:?}");
    let none = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
    let none = Front::answering(0, usize::MAX, none).await;
    let ran = trigger(&receiver, &none, &receiver.url(), &csv, json!({})).await;
    assert!(ran.assert_code(3).err.contains("storage/passwords"), "{ran:?}");
    receiver.assert_no_action().await;
}

#[tokio::test]
async fn called_by_hand_it_says_who_calls_it() {
    let mut command = tool("python3");
    command.arg(kit(APP).join("bin/quarantine_bridge.py"));
    run(command, "").await.assert_code(2);
}

/// The settings of a stanza and what they are set to.
fn settings(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[', '*']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect()
}

#[test]
fn the_app_declares_every_setting_that_the_script_reads() {
    let script = read(&format!("{APP}/bin/quarantine_bridge.py"));
    let defaults = read(&format!("{APP}/default/alert_actions.conf"));
    let spec = read(&format!("{APP}/README/alert_actions.conf.spec"));
    let saved = read(&format!("{APP}/README/savedsearches.conf.spec"));
    let declared: Vec<&str> =
        settings(&defaults).iter().filter_map(|(key, _)| key.strip_prefix("param.")).collect();
    assert!(declared.len() >= 12);
    for name in &declared {
        assert!(script.contains(&format!("\"{name}\"")), "the script does not read {name}");
        assert!(spec.contains(&format!("param.{name} = ")), "the spec does not explain {name}");
        assert!(saved.contains(&format!(".param.{name} = ")), "{name} cannot be set for one search");
    }
    for (key, value) in [("is_custom", "1"), ("payload_format", "json"), ("python.version", "python3")] {
        assert!(settings(&defaults).contains(&(key, value)), "{key}");
    }
    assert!(defaults.starts_with("[quarantine_bridge]"), "splunkd starts bin/ and the name of the stanza");
    assert!(read(&format!("{APP}/metadata/default.meta")).contains("[alert_actions]\nexport = system"));
    assert!(read(&format!("{APP}/default/app.conf")).contains("id = TA-quarantine-bridge"));
}
