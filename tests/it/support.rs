//! `support dump`: what helps is in it, and nothing else: no secret, no token, no device, file, alert or person.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use quarantine_bridge::clock::Clock;
use quarantine_bridge::simulator::{Fault, FaultKind, Place};
use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{SECRET, WHSEC, key, poll, simulate};

/// Whatever must not get out, each somewhere that the dump looks at.
const CANARIES: [&str; 12] = [
    SECRET,
    WHSEC,
    "canary-alert-4711",
    "Canary title of an alert",
    "canary-host.corp.example",
    "canary-file.exe",
    "canaryperson",
    "canary-inline-password",
    "canary-publisher",
    "canary-note.example",
    "5555555555cccccccccc5555555555cccccccccc",
    "6666666666dddddddddd6666666666dddddddddd",
];

const MORE: &str = r#"
[sources.soc.quota]
burst = 77
[policy]
trusted_publishers = ["canary-publisher"]
[callbacks.soar]
url = "https://canary-note.example/hooks/canaryperson"
secrets = [{ file = "soc-secret" }]
"#;

fn dump(installation: &Installation, more: &[&str]) -> Value {
    let file = installation.path("dump.json");
    drop(fs::remove_file(&file));
    let arguments = [&["support", "dump", "--output", "dump.json"], more].concat();
    let (code, _, said) = installation.told(&arguments);
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    for canary in CANARIES {
        assert!(!text.to_lowercase().contains(&canary.to_lowercase()), "{canary} is in {text}");
    }
    let (code, ..) = installation.told(&arguments);
    assert_eq!(code, 1, "a file that is there is not written over");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_tells_how_it_stands_and_nothing_of_whom() {
    let (simulator, _tasks) = simulate(Clock::system());
    let fault = Fault { place: Place::Quarantine, kind: FaultKind::Forbidden2023, times: None };
    simulator.with(|state| state.faults.push(fault));
    let installation = Installation::new(&simulator.url(), MORE);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let target = json!({"machine": {"id": CANARIES[10], "dns_name": "canary-host.corp.example"},
                        "file": {"sha1": CANARIES[11], "name": "canary-file.exe"}});
    let alert = json!({"alert_id": "canary-alert-4711", "severity": "high", "title": "Canary title of an alert",
                       "occurred_at": Clock::system().now().to_string(), "targets": [target]});
    let sent = installation.signed(&client, &key(), "msg_1", &alert.to_string()).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let (code, token, _) = installation.told(&[
        "token",
        "create",
        "--name",
        "canaryperson",
        "--scope",
        "metrics",
        "--days",
        "1",
    ]);
    assert_eq!(code, 0);
    installation.write_secret("metrics.token", token.trim());
    let was_called = || simulator.calls().iter().any(|call| call.path.ends_with("/StopAndQuarantineFile"));
    poll("a call that is refused", was_called).await;
    let url = installation.url("/");

    let mut dumped = Value::Null;
    let is_told =
        |dumped: &Value| dumped["troubles"]["failed_calls"].as_array().is_some_and(|calls| !calls.is_empty());
    for _ in 0..50 {
        dumped = dump(&installation, &["--token-file", "metrics.token", "--url", &url]);
        if is_told(&dumped) {
            break;
        }
    }

    assert!(!dumped.to_string().contains(token.trim()));
    assert_eq!(dumped["version"], env!("CARGO_PKG_VERSION"));
    let config = &dumped["config"];
    assert_eq!(config["sources"]["soc"]["mode"], "enforce");
    assert_eq!(config["sources"]["soc"]["quota"]["burst"], "77");
    assert_eq!(config["sources"]["soc"]["auth"]["scheme"], "standard-webhooks");
    // Equal texts are seen to be equal, and no text is told.
    let defender = &config["defender"];
    assert_eq!(defender["api_url"], defender["login_url"]);
    assert!(defender["api_url"].as_str().unwrap().starts_with("hidden:"), "{defender}");
    let findings = dumped["findings"].as_array().unwrap();
    assert!(findings.iter().any(|it| it["check"] == "list" && it["verdict"] == "well"), "{findings:?}");
    assert!(findings.iter().any(|it| it["check"] == "tokens" && it["verdict"] == "note"), "{findings:?}");
    assert_eq!(dumped["standing"]["kill_switch"], false);
    let call = &dumped["troubles"]["failed_calls"][0];
    assert_eq!(call["http_status"], 403, "{call}");
    assert_eq!(dumped["troubles"]["schema"], dumped["troubles"]["schema"].as_i64().unwrap());
    let metrics = dumped["metrics"].as_str().unwrap();
    assert!(
        metrics.contains("quarantine_bridge_deliveries_total{source=\"soc\",result=\"new\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("key_id=\"hidden:"), "{metrics}");
    assert_eq!(serving.terminate().await, Some(0));

    // Without the service, and with a secret where its file belongs.
    installation
        .edit("client_secret = { file = \"defender-secret\" }", "client_secret = \"canary-inline-password\"");
    let dumped = dump(&installation, &[]);
    assert_eq!(dumped["metrics"], Value::Null);
    let secret = dumped["config"]["defender"]["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("hidden:"), "{secret}");
    assert_ne!(dumped["config"]["store"]["path"], config["store"]["path"], "each dump has a key of its own");
}

#[test]
fn without_a_configuration_there_is_a_dump_too() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.write("quarantine-bridge.toml", "client_secret = \"canary-inline-password\nmode = 1");
    let dumped = dump(&installation, &[]);
    assert_eq!(dumped["config"], "cannot be read");
    assert!(dumped["findings"].as_array().unwrap().iter().any(|it| it["verdict"] == "wrong"));
}
