//! `TheHive`: the forwarder between its webhooks and the service, with `TheHive`'s API played by a stub.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use reqwest::Client;
use serde_json::{Value, json};

use super::{Front, NOWHERE, Receiver, alert, assert_pair, kit, read_json, tool};
use crate::harness::{MACHINE, SHA1, WHSEC};

const TOKEN: &str = "webhook-token-canary-9d1e";
const KEY: &str = "thehive-key-canary-77b0";

/// A running forwarder; killed when dropped.
struct Forwarder {
    child: Child,
    url: String,
    _log: BufReader<ChildStderr>,
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Forwarder {
    /// Starts it on a free port, with the example configuration and other addresses.
    fn start(receiver: &Receiver, thehive: &str, bridge: &str, secret: &str) -> Self {
        let installation = &receiver.installation;
        let mut config = read_json("thehive/thehive.example.json");
        config["port"] = json!(0);
        config["thehive_url"] = json!(thehive);
        config["bridge_url"] = json!(bridge);
        config["bridge_secret_file"] = json!(secret);
        installation.write("thehive.json", &config.to_string());
        installation.write_secret("webhook-token", TOKEN);
        installation.write_secret("thehive-key", KEY);
        let mut command = tool("python3");
        command.arg(kit("thehive/quarantine_bridge_thehive.py")).arg("--config");
        command.arg(installation.path("thehive.json")).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        log.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, url, _log: log }
    }

    async fn webhook(&self, token: &str, event: &str) -> (u16, String) {
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.post(&self.url).bearer_auth(token).body(event.to_owned());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// `TheHive`'s API: answers every query with these observables.
async fn thehive(observables: &Value) -> Front {
    let body = observables.to_string();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    Front::answering(0, usize::MAX, format!("{head}connection: close\r\n\r\n{body}")).await
}

fn hash(data: &str, tags: &[&str]) -> Value {
    json!({"_type": "Observable", "dataType": "hash", "data": data, "tags": tags})
}

fn host(data: &str, tags: &[&str]) -> Value {
    json!({"_type": "Observable", "dataType": "hostname", "data": data, "tags": tags})
}

/// A webhook of `TheHive` 5 about an alert.
fn event() -> String {
    let at = quarantine_bridge::clock::Clock::system().now().as_millisecond();
    let object = json!({"_id": "~4128", "_type": "Alert", "title": "Malware", "severity": 3, "date": at, "_createdAt": at});
    json!({"action": "update", "objectType": "Alert", "objectId": "~4128", "object": object}).to_string()
}

#[tokio::test]
async fn marked_hash_and_its_one_device_become_an_action() {
    let receiver = Receiver::start().await;
    let tag = format!("machine-id:{MACHINE}");
    let observables = json!([
        hash(&SHA1.to_uppercase(), &["quarantine"]),
        hash("4444444444dddddddddd4444444444dddddddddd", &["seen"]),
        host("ws-0147.corp.example", &[&tag]),
    ]);
    let mut api = thehive(&observables).await;
    let front = receiver.behind_busy(1).await;
    let forwarder =
        Forwarder::start(&receiver, &format!("http://127.0.0.1:{}", api.port), &front.url(), "soc-secret");

    let (status, text) = forwarder.webhook(TOKEN, &event()).await;

    assert_eq!(status, 202, "{text}");
    let action = receiver.assert_one_action().await;
    assert_pair(&action, MACHINE, SHA1);
    assert_eq!(action["alert"]["id"], "~4128");
    assert_eq!(action["alert"]["severity"], "high");
    let asked = &api.requests()[0];
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    let query: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(query["query"], json!([{"_name": "getAlert", "idOrName": "~4128"}, {"_name": "observables"}]));
    // Another webhook about the same alert is known.
    assert_eq!(forwarder.webhook(TOKEN, &event()).await.0, 202);
    assert_eq!(receiver.actions().await.len(), 1);
    assert!(!text.contains(WHSEC) && !text.contains(KEY) && !text.contains(TOKEN));
}

#[tokio::test]
async fn a_device_without_an_id_goes_by_its_name() {
    let receiver = Receiver::start().await;
    let api = thehive(&json!([hash(SHA1, &["quarantine"]), host("ws-0147.corp.example", &[])])).await;
    let forwarder =
        Forwarder::start(&receiver, &format!("http://127.0.0.1:{}", api.port), &receiver.url(), "soc-secret");
    let (status, text) = forwarder.webhook(TOKEN, &event()).await;
    assert_eq!(status, 202, "{text}");
    assert_eq!(receiver.actions().await[0]["machine"]["dns_name"], "ws-0147.corp.example");
}

#[tokio::test]
async fn what_cannot_be_paired_is_refused_and_what_is_not_marked_is_left_alone() {
    let receiver = Receiver::start().await;
    let marked = hash(SHA1, &["quarantine"]);
    for (observables, status, says) in [
        (json!([marked, host("ws1", &[]), host("ws2", &[])]), 422, "ws1, ws2"),
        (json!([marked]), 422, "exactly one device"),
        (
            json!([hash("d41d8cd98f00b204e9800998ecf8427e", &["quarantine"]), host("ws1", &[])]),
            422,
            "no observable",
        ),
        (json!([hash(SHA1, &["seen"]), host("ws1", &[])]), 200, "nothing is marked"),
        (json!([]), 200, "nothing is marked"),
    ] {
        let api = thehive(&observables).await;
        let address = format!("http://127.0.0.1:{}", api.port);
        let forwarder = Forwarder::start(&receiver, &address, &receiver.url(), "soc-secret");
        let (answered, text) = forwarder.webhook(TOKEN, &event()).await;
        assert_eq!(answered, status, "{text}");
        assert!(text.contains(says), "{text}");
    }
    receiver.assert_no_action().await;
}

#[tokio::test]
async fn strangers_and_other_events_get_nowhere() {
    let receiver = Receiver::start().await;
    let mut api = thehive(&json!([hash(SHA1, &["quarantine"]), host("ws1", &[])])).await;
    let forwarder =
        Forwarder::start(&receiver, &format!("http://127.0.0.1:{}", api.port), &receiver.url(), "soc-secret");

    assert_eq!(forwarder.webhook("wrong", &event()).await.0, 401);
    assert_eq!(forwarder.webhook(TOKEN, "not JSON").await.0, 400);
    assert_eq!(forwarder.webhook(TOKEN, "[]").await.0, 400);
    assert_eq!(
        forwarder.webhook(TOKEN, &json!({"object": {"_type": "Task", "_id": "~1"}}).to_string()).await.0,
        200
    );
    let deleted = event().replace("\"update\"", "\"delete\"");
    assert_eq!(forwarder.webhook(TOKEN, &deleted).await.0, 200);

    assert_eq!(api.requests().len(), 0);
    receiver.assert_no_action().await;
}

#[tokio::test]
async fn failures_on_either_side_are_answered_as_such() {
    let receiver = Receiver::start().await;
    let tag = format!("machine-id:{MACHINE}");
    let api = thehive(&json!([hash(SHA1, &["quarantine"]), host("ws1", &[&tag])])).await;
    let address = format!("http://127.0.0.1:{}", api.port);

    let forwarder = Forwarder::start(&receiver, &address, &receiver.url(), "wrong-secret");
    let (status, text) = forwarder.webhook(TOKEN, &event()).await;
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("compare the secrets"), "{text}");
    let forwarder = Forwarder::start(&receiver, NOWHERE, &receiver.url(), "soc-secret");
    assert_eq!(forwarder.webhook(TOKEN, &event()).await.0, 503);
    let busy = receiver.behind_busy(super::BUSY_FOR_EVER).await;
    let forwarder = Forwarder::start(&receiver, &address, &busy.url(), "soc-secret");
    assert_eq!(forwarder.webhook(TOKEN, &event()).await.0, 503);

    receiver.assert_no_action().await;
    assert_eq!(receiver.post("soc", &alert("unsigned").to_string(), &[]).await.0, 401);
}
