//! Wazuh and `QRadar`: scripts with positional arguments and exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{
    NOWHERE, Ran, Receiver, WRONG, assert_same_delivery, kit, now, run, run_with_secret_argument, tool,
};
use crate::harness::binary::set_mode;
use crate::harness::{MACHINE, SHA1, WHSEC};

/// A Wazuh manager's folder, with the integration installed as its README says.
struct Manager {
    home: tempfile::TempDir,
}

impl Manager {
    fn new(secret: &str) -> Self {
        let manager = Self { home: tempfile::tempdir().unwrap() };
        for folder in ["integrations", "logs", "etc", "tmp"] {
            fs::create_dir(manager.path(folder)).unwrap();
        }
        for name in ["custom-quarantine-bridge", "custom-quarantine-bridge.py", "quarantine_bridge_signer.py"]
        {
            fs::copy(kit("wazuh").join(name), manager.path("integrations").join(name)).unwrap();
        }
        manager.write("etc/quarantine-bridge-secret", secret);
        set_mode(&manager.path("etc/quarantine-bridge-secret"), 0o640);
        manager.write(
            "tmp/custom-quarantine-bridge-1.options",
            r#"{"secret_file": "etc/quarantine-bridge-secret"}"#,
        );
        manager
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Calls the script as integratord does: alert file, `api_key`, `hook_url`, debug, options, time limit, retries.
    async fn call(&self, url: &str, alert: &str) -> Ran {
        self.write("tmp/custom-quarantine-bridge-1.alert", alert);
        let mut command = self.command();
        command.arg(self.path("tmp/custom-quarantine-bridge-1.alert")).args(["", url, ""]);
        command.arg(self.path("tmp/custom-quarantine-bridge-1.options")).args(["10", "3"]);
        run(command, "").await
    }

    fn command(&self) -> Command {
        drop(tool("python3"));
        let mut command = tool("sh");
        command.arg(self.path("integrations/custom-quarantine-bridge"));
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("logs/integrations.log")).unwrap()
    }
}

/// A Sysmon alert as Wazuh writes it, one line with its end.
fn sysmon() -> String {
    let alert = json!({
        "timestamp": now().replace('Z', "+0000"), "id": "1699187674.709551442",
        "rule": {"level": 12, "description": "Malware \u{2013} started", "id": "92052", "groups": ["sysmon"]},
        "agent": {"id": "004", "name": "ws-0147", "ip": "10.0.0.7"}, "manager": {"name": "wazuh"},
        "data": {"win": {"system": {"computer": "ws-0147.corp.example", "eventID": "1"},
            "eventdata": {"image": "C:\\\\Temp\\\\evil.exe", "hashes":
                format!("MD5=00000000000000000000000000000001,SHA1={},SHA256={}", SHA1.to_uppercase(), "AB".repeat(32))}}},
        "location": "EventChannel",
    });
    format!("{alert}\n")
}

/// A source for Wazuh's alerts: until there is a format of its own, one written for this test.
const WAZUH: &str = r#"
[sources.wazuh]
format = "wazuh"
mode = "enforce"
min_severity = "low"
[sources.wazuh.auth]
scheme = "standard-webhooks"
secrets = [{ file = "soc-secret" }]
"#;

async fn wazuh_receiver() -> (Receiver, String) {
    let receiver = Receiver::with(WAZUH, &[]).await;
    let url = receiver.installation.url("/v1/hooks/wazuh");
    (receiver, url)
}

#[tokio::test]
async fn wazuh_alert_goes_as_it_is_and_becomes_an_action() {
    let (receiver, url) = wazuh_receiver().await;
    let manager = Manager::new(WHSEC);
    let mut front = receiver.behind_busy(0).await;

    let ran = manager.call(&front.url().replace("/soc", "/wazuh"), &sysmon()).await;

    ran.assert_code(0);
    assert_eq!(front.requests()[0].body, sysmon_body(&manager));
    let actions = receiver.actions().await;
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert_eq!(actions[0]["alert"]["id"], "1699187674.709551442");
    assert_eq!(actions[0]["file"]["sha1"], SHA1);
    assert!(actions[0]["machine"]["dns_name"].as_str().unwrap().starts_with("ws-0147"), "{actions:?}");
    assert!(
        manager.log().contains("alert 1699187674.709551442 is at the bridge (HTTP 202)"),
        "{}",
        manager.log()
    );
    assert!(!manager.log().contains(WHSEC));
    // The same alert once more, as after a restart of the manager.
    manager
        .call(&url, &fs::read_to_string(manager.path("tmp/custom-quarantine-bridge-1.alert")).unwrap())
        .await
        .assert_code(0);
    assert_eq!(receiver.actions().await.len(), 1);
}

/// What Wazuh wrote, without the end of its line.
fn sysmon_body(manager: &Manager) -> Vec<u8> {
    fs::read(manager.path("tmp/custom-quarantine-bridge-1.alert")).unwrap().trim_ascii().to_vec()
}

#[tokio::test]
async fn wazuh_script_tries_again_while_the_bridge_is_busy() {
    let (receiver, _) = wazuh_receiver().await;
    let manager = Manager::new(WHSEC);
    let mut front = receiver.behind_busy(2).await;

    manager.call(&front.url().replace("/soc", "/wazuh"), &sysmon()).await.assert_code(0);

    let requests = front.requests();
    assert_eq!(requests.len(), 3);
    assert_same_delivery(&requests);
    assert_eq!(receiver.actions().await.len(), 1);
}

#[tokio::test]
async fn wazuh_script_ends_with_a_code_for_each_kind_of_failure() {
    let (receiver, url) = wazuh_receiver().await;
    let manager = Manager::new(WHSEC);

    let ran = Manager::new(WRONG).call(&url, &sysmon()).await;
    assert!(ran.assert_code(8).err.contains("compare the secrets"), "{ran:?}");
    manager.call(&url, "not JSON").await.assert_code(7);
    manager.call("http://bridge.corp.example/v1/hooks/wazuh", &sysmon()).await.assert_code(2);
    let ran = manager.call(&format!("{NOWHERE}/v1/hooks/wazuh"), &sysmon()).await;
    assert!(ran.assert_code(9).err.contains("4 tries failed"), "{ran:?}");
    let mut without_file = manager.command();
    without_file.args(["/nowhere/1.alert", "", &url, "", "/nowhere/1.options"]);
    run(without_file, "").await.assert_code(6);
    run(manager.command(), "").await.assert_code(2);
    manager.write("tmp/custom-quarantine-bridge-1.options", "{}");
    manager.call(&url, &sysmon()).await.assert_code(3);
    manager.write("tmp/custom-quarantine-bridge-1.options", r#"{"secret_file": "etc/open"}"#);
    manager.write("etc/open", WHSEC);
    set_mode(&manager.path("etc/open"), 0o644);
    let ran = manager.call(&url, &sysmon()).await;
    assert!(ran.assert_code(3).err.contains("chmod o-rwx"), "{ran:?}");
    receiver.assert_no_action().await;
}

/// Calls the custom action as `QRadar` does: the parameters in the order of the action, all of them texts.
async fn custom_action(parameters: &[&str]) -> Ran {
    let mut command = tool("python3");
    command.arg(kit("qradar/quarantine_bridge_qradar.py")).args(parameters);
    run_with_secret_argument(command, "").await
}

fn millis() -> String {
    quarantine_bridge::clock::Clock::system().now().as_millisecond().to_string()
}

#[tokio::test]
async fn qradar_event_becomes_an_action() {
    let receiver = Receiver::start().await;
    let (url, time) = (receiver.url(), millis());
    let hashes = format!("SHA1={},MD5=01", SHA1.to_uppercase());
    let parameters =
        [&url, WHSEC, "8", MACHINE, &hashes, "evil.exe", &time, "Malware \u{2013} started", "4711"];

    let ran = custom_action(&parameters).await;

    assert!(ran.assert_code(0).out.contains("HTTP 202"), "{ran:?}");
    let action = receiver.assert_one_action().await;
    assert_eq!(action["alert"]["id"], "4711");
    assert_eq!(action["alert"]["severity"], "high");
    assert_eq!(action["alert"]["title"], "Malware \u{2013} started");
    custom_action(&parameters).await.assert_code(0);
    assert_eq!(receiver.actions().await.len(), 1);
}

#[tokio::test]
async fn qradar_event_without_an_id_gets_one_that_stays_the_same() {
    let receiver = Receiver::start().await;
    let (url, time) = (receiver.url(), millis());
    let parameters = [&url, WHSEC, "critical", MACHINE, SHA1, "null", &time, "Malware", "N/A"];

    custom_action(&parameters).await.assert_code(0);
    custom_action(&parameters).await.assert_code(0);

    let action = receiver.assert_one_action().await;
    assert!(action["alert"]["id"].as_str().unwrap().starts_with("qradar:"));
    assert_eq!(action["alert"]["severity"], "critical");
}

#[tokio::test]
async fn qradar_action_tries_again_and_ends_with_a_code_for_each_kind_of_failure() {
    let receiver = Receiver::start().await;
    let mut front = receiver.behind_busy(2).await;
    let (url, time) = (receiver.url(), millis());

    custom_action(&[&front.url(), WHSEC, "8", MACHINE, SHA1, "", &time]).await.assert_code(0);
    let requests = front.requests();
    assert_eq!(requests.len(), 3);
    assert_same_delivery(&requests);
    let ran = custom_action(&[&url, WRONG, "8", MACHINE, SHA1]).await;
    assert!(ran.assert_code(8).out.contains("compare the secrets"), "{ran:?}");
    custom_action(&[&url, "whsec_short", "8", MACHINE, SHA1]).await.assert_code(3);
    let ran = custom_action(&[&url, WHSEC, "8", MACHINE, "null"]).await;
    assert!(ran.assert_code(2).out.contains("nothing was sent"), "{ran:?}");
    custom_action(&[&url, WHSEC]).await.assert_code(2);
    custom_action(&["http://bridge.corp.example/", WHSEC, "8", MACHINE, SHA1]).await.assert_code(2);
    assert_eq!(receiver.actions().await.len(), 1);
    let ran = custom_action(&[NOWHERE, WHSEC, "8", MACHINE, SHA1]).await;
    assert!(ran.assert_code(9).out.contains("4 tries failed"), "{ran:?}");
}

#[test]
fn wazuh_files_are_where_the_readme_puts_them() {
    for name in ["custom-quarantine-bridge", "custom-quarantine-bridge.py", "quarantine_bridge_signer.py"] {
        assert!(Path::new(&kit("wazuh").join(name)).is_file(), "{name}");
    }
}
