//! A log that nobody can read or write stops nothing, and nothing that others say makes a line of it or moves one.

use std::fs::{self, OpenOptions};
use std::io::pipe;
use std::process::Stdio;

use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::{Installation, command};
use crate::harness::wire::{HERE, ask, status};
use crate::harness::{MACHINE, SHA1, key, poll, simulate};
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

/// A name as somebody might choose it who wants another line to be seen: a new line, a terminal's escape, text from right to left.
const HOSTILE: &str = "a\nINFO forged\r\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2028}b\u{e0041}.toml";

#[tokio::test]
async fn whatever_is_in_a_line_it_is_one_line_and_shows_all_of_it() {
    for format in ["json", "text"] {
        let (simulator, _tasks) = simulate(Clock::system());
        let installation = Installation::new(&simulator.url(), &format!("[log]\nformat = \"{format}\"\n"));
        fs::copy(installation.config(), installation.path(HOSTILE)).unwrap();
        let serving = installation.start(command(&["serve", "--config", HOSTILE]), "log");
        installation.wait_until_ready().await;
        installation.write(HOSTILE, "nonsense");
        serving.hang_up();
        poll("the line about it", || installation.log().contains("is wrong")).await;
        assert_eq!(serving.terminate().await, Some(0));

        let log = installation.log();
        assert!(log.contains("\\u000a") || log.contains("\\n"), "{log}");
        for line in log.lines() {
            let hidden = |c: char| c.is_control() || "\u{202e}\u{2028}\u{e0041}".contains(c);
            assert!(!line.contains(hidden), "{line:?}");
            assert!(!line.starts_with("INFO forged"), "{log}");
            if format == "json" {
                let line: Value = serde_json::from_str(line).unwrap();
                // What is written out is what was there.
                assert!(line["file"].is_null() || line["file"] == HOSTILE, "{line}");
            } else {
                assert!(line.starts_with("20"), "a line begins with its time: {line:?}");
            }
        }
    }
}

/// TLS to a plain port, or whoever looks at what a port says: told where it is asked for, counted, and no error.
#[tokio::test]
async fn what_is_no_http_is_counted_and_no_error() {
    let installation = Installation::new("http://127.0.0.1:9", "[log]\nlevel = \"debug\"\n");
    let (_, token, _) = installation.told(&["token", "create", "--name", "t", "--scope", "metrics"]);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let address = ([127, 0, 0, 1], installation.port).into();
    for bytes in [&b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03"[..], b"SSH-2.0-OpenSSH_9.2\r\n\r\n"] {
        assert_eq!(status(&ask(HERE, address, bytes).await), 400);
    }

    let client = Client::builder().no_proxy().build().unwrap();
    let metrics = client.get(installation.url("/metrics")).bearer_auth(token.trim()).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted = "quarantine_bridge_connections_refused_total{reason=\"not_http\"} 2\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(serving.terminate().await, Some(0));
    let lines: Vec<Value> =
        installation.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_http = |line: &&Value| line["message"].as_str().unwrap().contains("a connection ended early");
    assert_eq!(lines.iter().filter(of_http).count(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "{lines:?}");
}
