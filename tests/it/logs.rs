//! A log that nobody can read or write stops nothing.

use std::fs::OpenOptions;
use std::io::pipe;
use std::process::Stdio;

use reqwest::Client;
use serde_json::json;

use crate::harness::binary::{Installation, command};
use crate::harness::{MACHINE, SHA1, key, simulate};
use quarantine_bridge::clock::Clock;

/// Serves with this standard error, takes a delivery, and counts lines that were dropped.
async fn serves_with(standard_error: Stdio) {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "[log]\nlevel = \"info\"\n");
    let mut serve = command(&["serve"]);
    serve.stderr(standard_error);
    let serving = installation.spawn(serve);
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let target = json!({"machine": MACHINE, "file": SHA1});
    let alert = json!({"alert_id": "a1", "severity": "high", "occurred_at": Clock::system().now().to_string(),
                       "targets": [target]});

    let answer = installation.signed(&client, &key(), "msg_1", &alert.to_string()).send().await.unwrap();

    assert_eq!(answer.status(), 202);
    let token = installation.run(&["token", "create", "--name", "test", "--scope", "metrics"]);
    let token = String::from_utf8(token.stdout).unwrap();
    let metrics = client.get(installation.url("/metrics")).bearer_auth(token.trim()).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("quarantine_bridge_log_lines_dropped_total "));
    let dropped: u64 = dropped.unwrap().parse().unwrap();
    assert!(dropped > 0, "{metrics}");
    assert_eq!(serving.terminate().await, Some(0));
}

#[tokio::test]
async fn a_full_standard_error_stops_nothing_and_is_counted() {
    serves_with(OpenOptions::new().write(true).open("/dev/full").unwrap().into()).await;
}

#[tokio::test]
async fn a_standard_error_whose_reader_has_gone_stops_nothing_and_is_counted() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    serves_with(writer.into()).await;
}
