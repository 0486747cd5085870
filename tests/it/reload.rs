//! The configuration read again while the service runs.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use quarantine_bridge::alert::Mode;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::SigningKey;
use reqwest::Client;
use secrecy::SecretString;
use serde_json::json;
use tokio::join;

use crate::harness::binary::{Installation, Serving};
use crate::harness::{Bridge, MACHINE, SHA1, Setup, poll, without_facts};

const OLD: &str = crate::harness::WHSEC;
const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const IN_USE: &str = "read again and is in use";
const WRONG: &str = "the one before stays in use";

fn key(whsec: &str) -> SigningKey {
    SigningKey::from_whsec(&SecretString::from(whsec), None).unwrap()
}

/// A service in shadow mode, a client of it, and a token.
struct Running {
    installation: Installation,
    serving: Serving,
    client: Client,
    token: String,
}

impl Running {
    async fn start(more: &str) -> Self {
        Self::on(Installation::new("http://127.0.0.1:9", more)).await
    }

    async fn on(installation: Installation) -> Self {
        installation.edit("mode = \"enforce\"", "mode = \"shadow\"");
        let token = installation.run(&["token", "create", "--name", "t", "--scope", "metrics"]);
        let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
        let serving = installation.serve();
        installation.wait_until_ready().await;
        let client = Client::builder().no_proxy().build().unwrap();
        Self { installation, serving, client, token }
    }

    /// Delivers an alert; returns the status.
    async fn post(&self, whsec: &str, number: usize) -> u16 {
        let now = Clock::system().now();
        let target = json!({"machine": MACHINE, "file": SHA1});
        let body = json!({"alert_id": format!("a{number}"), "severity": "high", "targets": [target],
                          "occurred_at": now.to_string()});
        let id = format!("msg_{number}");
        let request = self.installation.signed(&self.client, &key(whsec), &id, &body.to_string());
        request.send().await.unwrap().status().as_u16()
    }

    async fn hook(&self, source: &str) -> u16 {
        let url = self.installation.url(&format!("/v1/hooks/{source}"));
        self.client.post(url).body("{}").send().await.unwrap().status().as_u16()
    }

    async fn metrics(&self) -> String {
        let request = self.client.get(self.installation.url("/metrics")).bearer_auth(&self.token);
        request.send().await.unwrap().text().await.unwrap()
    }

    /// Waits until the log has a text so many times.
    async fn logged(&self, text: &str, times: usize) {
        poll(text, || self.installation.log().matches(text).count() >= times).await;
    }
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn a_signal_brings_in_what_has_changed() {
    let running = Running::start("").await;
    assert_eq!(running.hook("edr").await, 404);
    let config = fs::read_to_string(running.installation.config()).unwrap();
    let more = config.split("[sources.soc]").nth(1).unwrap().replace("sources.soc", "sources.edr");
    fs::write(running.installation.config(), format!("{config}\n[sources.edr]{more}")).unwrap();

    running.serving.hang_up();
    running.logged(IN_USE, 1).await;

    assert_eq!(running.hook("edr").await, 401);
    fs::write(running.installation.config(), config).unwrap();
    running.serving.hang_up();
    running.logged(IN_USE, 2).await;
    assert_eq!(running.hook("edr").await, 404);
    assert_eq!(running.serving.terminate().await, Some(0));
}

#[tokio::test]
async fn a_changed_secret_is_taken_over_without_a_signal() {
    let running = Running::start("").await;
    assert_eq!(running.post(OLD, 1).await, 202);
    assert_eq!(running.post(NEW, 2).await, 401);

    running.installation.write_secret("soc-secret", NEW);
    running.logged(IN_USE, 1).await;

    assert_eq!(running.post(NEW, 2).await, 202);
    assert_eq!(running.post(OLD, 3).await, 401);
}

#[tokio::test]
async fn a_link_that_is_turned_is_a_change() {
    // As Kubernetes mounts secrets: file -> data/file, data -> a folder of this version.
    let installation = Installation::new("http://127.0.0.1:9", "");
    for (folder, secret) in [("v1", OLD), ("v2", NEW)] {
        fs::create_dir(installation.path(folder)).unwrap();
        installation.write_secret(&format!("{folder}/soc-secret"), secret);
    }
    symlink("v1", installation.path("data")).unwrap();
    fs::remove_file(installation.path("soc-secret")).unwrap();
    symlink("data/soc-secret", installation.path("soc-secret")).unwrap();
    let running = Running::on(installation).await;
    assert_eq!(running.post(OLD, 1).await, 202);

    symlink("v2", running.installation.path("data.new")).unwrap();
    fs::rename(running.installation.path("data.new"), running.installation.path("data")).unwrap();
    running.logged(IN_USE, 1).await;

    assert_eq!(running.post(NEW, 2).await, 202);
}

#[tokio::test]
async fn what_is_no_file_keeps_no_reader() {
    let running = Running::start("").await;
    let (config, aside) = (running.installation.config(), running.installation.path("aside"));
    fs::rename(&config, &aside).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());

    running.logged(WRONG, 1).await;
    assert!(running.installation.log().contains("it is no file"));
    fs::rename(&aside, &config).unwrap();
    running.logged(IN_USE, 1).await;
    assert_eq!(running.serving.terminate().await, Some(0));
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_is_told() {
    let running = Running::start("").await;
    let good = fs::read_to_string(running.installation.config()).unwrap();
    let loaded_at = value(&running.metrics().await, "quarantine_bridge_config_loaded_timestamp_seconds");
    running.installation.edit("mode = \"shadow\"", "mode = \"sometimes\"\nmin_severty = \"low\"");
    running.installation.edit("file = \"soc-secret\"", "file = \"missing\"");

    running.serving.hang_up();
    running.logged(WRONG, 1).await;

    let log = running.installation.log();
    for key in ["sources.soc.mode", "sources.soc.min_severty", "sources.soc.auth.secrets[0].file"] {
        assert!(log.contains(key), "{key} is not in {log}");
    }
    assert_eq!(running.post(OLD, 1).await, 202);
    let metrics = running.metrics().await;
    assert!(metrics.contains("\nquarantine_bridge_config_reload_failed 1\n"), "{metrics}");
    assert!(value(&metrics, "quarantine_bridge_config_loaded_timestamp_seconds") <= loaded_at);

    // Mended, it is taken over by itself.
    fs::write(running.installation.config(), good).unwrap();
    running.logged(IN_USE, 1).await;
    let metrics = running.metrics().await;
    assert!(metrics.contains("\nquarantine_bridge_config_reload_failed 0\n"), "{metrics}");
    assert!(value(&metrics, "quarantine_bridge_config_loaded_timestamp_seconds") > loaded_at);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
    let running = Running::start("").await;
    let port = running.installation.port;
    running.installation.edit(&format!("127.0.0.1:{port}"), "127.0.0.1:1");
    running.installation.edit("path = \"bridge.db\"", "path = \"other.db\"");
    running.installation.edit("client_id = \"", "client_id = \"another-");
    running.installation.write_secret("soc-secret", NEW);

    running.serving.hang_up();
    running.logged(IN_USE, 1).await;

    let log = running.installation.log();
    let named: Vec<&str> = log.lines().filter(|line| line.contains("needs a restart")).collect();
    for key in ["server.listen", "store.path", "defender.client_id"] {
        assert!(named.iter().any(|line| line.contains(key)), "{key} is not in {named:?}");
    }
    assert_eq!(named.len(), 3, "{named:?}");
    assert!(!log.contains(NEW), "a secret is in the log");
    assert_eq!(running.post(NEW, 1).await, 202);
}

#[tokio::test]
async fn a_secret_is_rotated_under_load_without_losing_a_delivery() {
    let more = "[sources.soc.quota]\ndeliveries_per_minute = 1000000\nburst = 1000000\n";
    let running = Running::start(more).await;
    running.installation.write_secret("new-secret", NEW);
    let (secret, is_over, count) = (Cell::new(OLD), Cell::new(false), Cell::new(0));
    let some_more = async || {
        let wanted = count.get() + 10;
        poll("deliveries", || count.get() >= wanted).await;
    };

    let load = async {
        let mut statuses = Vec::new();
        while !is_over.get() {
            statuses.push(running.post(secret.get(), statuses.len()).await);
            count.set(statuses.len());
        }
        statuses
    };
    let rotation = async {
        some_more().await;
        let both = "[{ file = \"soc-secret\" }, { file = \"new-secret\" }]";
        running.installation.edit("[{ file = \"soc-secret\" }]", both);
        running.serving.hang_up();
        running.logged(IN_USE, 1).await;
        some_more().await;
        secret.set(NEW);
        let last = |metrics: &str, whsec| {
            let id = key(whsec).id().as_str().to_owned();
            let labels = format!("{{source=\"soc\",key_id=\"{id}\"}}");
            value(metrics, &format!("quarantine_bridge_key_last_use_timestamp_seconds{labels}"))
        };
        let quiet = loop {
            let metrics = running.metrics().await;
            if last(&metrics, NEW) > 0.0 {
                break metrics;
            }
        };
        assert!(last(&quiet, NEW) >= last(&quiet, OLD) && last(&quiet, OLD) > 0.0, "{quiet}");
        running.installation.edit(both, "[{ file = \"new-secret\" }]");
        running.serving.hang_up();
        running.logged(IN_USE, 2).await;
        some_more().await;
        is_over.set(true);
    };
    let (statuses, ()) = join!(load, rotation);

    assert!(statuses.iter().all(|status| *status == 202), "{statuses:?}");
    let metrics = running.metrics().await;
    let gauges: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("quarantine_bridge_key_last_use")).collect();
    assert_eq!(gauges.len(), 1, "the old key is not shown any more: {gauges:?}");
    assert!(gauges[0].contains(key(NEW).id().as_str()));
}

#[tokio::test]
async fn queued_actions_of_a_source_that_left_are_held() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.switches.per_minute = 0);
    let waiting = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&waiting).await, "queued");

    bridge.reconfigure(|config| {
        config.http.sources.clear();
        config.dispatch.policies.clear();
    });
    bridge.run_for(jiff::SignedDuration::from_mins(3)).await;

    assert_eq!(bridge.state(&waiting).await, "held");
    let calls = bridge.quarantines().len();
    bridge.run_for(jiff::SignedDuration::from_mins(3)).await;
    assert_eq!(bridge.quarantines().len(), calls);
    let answer = bridge.post("msg_2", bridge.alert("a2", MACHINE, SHA1)).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn another_mode_holds_from_the_next_decision_on() {
    let mut bridge = Bridge::start().await;
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.reconfigure(|config| {
        for policy in config.dispatch.policies.values_mut() {
            policy.source_mode = Mode::Shadow;
        }
    });

    bridge.drain().await;

    assert_eq!(bridge.state(&first).await, "shadowed");
    assert!(bridge.quarantines().is_empty());
}
