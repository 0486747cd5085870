//! The two commands for scripts of one's own: bash and Python.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{BUSY_FOR_EVER, NOWHERE, Receiver, alert, assert_same_delivery, kit, run, tool};
use crate::harness::WHSEC;
use crate::harness::binary::set_mode;

/// The two commands take the same three things and have the same exit codes.
const COMMANDS: [&str; 2] = ["bash", "python3"];

fn send(name: &str, url: &str, secret_file: &Path, payload: &Path) -> Command {
    let mut command = tool(name);
    if name == "bash" {
        for needed in ["openssl", "curl"] {
            drop(tool(needed));
        }
        command.arg(kit("bash/quarantine-bridge-send.sh")).arg(url).arg(secret_file).arg(payload);
    } else {
        command.arg(kit("python/quarantine-bridge-send"));
        command.args(["--url", url, "--secret-file"]).arg(secret_file).arg(payload);
    }
    command
}

fn written(receiver: &Receiver, alert_id: &str) -> std::path::PathBuf {
    receiver.installation.write("alert.json", &alert(alert_id).to_string());
    receiver.installation.path("alert.json")
}

#[tokio::test]
async fn commands_send_and_a_repetition_is_known() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let payload = written(&receiver, "a1");

        let first = run(send(name, &receiver.url(), &receiver.secret_file(), &payload), "").await;
        first.assert_code(0);
        assert!(first.err.contains("HTTP 202"), "{first:?}");
        assert_eq!(first.json()["duplicate"], false);
        let again = run(send(name, &receiver.url(), &receiver.secret_file(), &payload), "").await;
        again.assert_code(0);
        assert!(again.err.contains("HTTP 200"), "{again:?}");
        assert_eq!(again.json()["duplicate"], true);

        receiver.assert_one_action().await;
    }
}

#[tokio::test]
async fn commands_read_standard_input() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let command = send(name, &receiver.url(), &receiver.secret_file(), Path::new("-"));
        run(command, &alert("from-stdin").to_string()).await.assert_code(0);
        assert_eq!(receiver.assert_one_action().await["alert"]["id"], "from-stdin");
    }
}

#[tokio::test]
async fn commands_try_again_while_the_bridge_is_busy() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let payload = written(&receiver, "a1");
        let mut front = receiver.behind_busy(3).await;

        let ran = run(send(name, &front.url(), &receiver.secret_file(), &payload), "").await;

        ran.assert_code(0);
        let requests = front.requests();
        assert_eq!(requests.len(), 4);
        assert_same_delivery(&requests);
        receiver.assert_one_action().await;
    }
}

#[tokio::test]
async fn commands_give_up_loudly() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let payload = written(&receiver, "a1");
        let mut front = receiver.behind_busy(BUSY_FOR_EVER).await;

        let ran = run(send(name, &front.url(), &receiver.secret_file(), &payload), "").await;

        ran.assert_code(69);
        assert!(ran.err.contains("4 tries failed"), "{ran:?}");
        assert_eq!(front.requests().len(), 4);
        receiver.assert_no_action().await;
    }
}

#[tokio::test]
async fn commands_say_that_the_secret_is_wrong_and_do_not_try_again() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let payload = written(&receiver, "a1");
        let mut front = receiver.behind_busy(0).await;

        let ran = run(send(name, &front.url(), &receiver.wrong_secret_file(), &payload), "").await;

        ran.assert_code(69);
        assert!(ran.err.contains("compare the secrets"), "{ran:?}");
        assert_eq!(front.requests().len(), 1);
        receiver.assert_no_action().await;
    }
}

#[tokio::test]
async fn commands_pass_on_why_an_alert_is_refused() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let mut broken = alert("a1");
        broken["targets"][0]["file"] = json!({"sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709"});
        receiver.installation.write("alert.json", &broken.to_string());
        let payload = receiver.installation.path("alert.json");

        let ran = run(send(name, &receiver.url(), &receiver.secret_file(), &payload), "").await;

        ran.assert_code(69);
        assert!(ran.err.contains("placeholder"), "{ran:?}");
    }
}

#[tokio::test]
async fn commands_refuse_what_is_not_set_up_right() {
    for name in COMMANDS {
        let receiver = Receiver::start().await;
        let (url, secret) = (receiver.url(), receiver.secret_file());
        let payload = written(&receiver, "a1");
        let open = receiver.installation.path("open");
        fs::write(&open, WHSEC).unwrap();
        set_mode(&open, 0o644);
        receiver.installation.write_secret("no-whsec", "a plain text that is long enough");
        receiver.installation.write_secret("short", "whsec_AAAA");
        let path = |name: &str| receiver.installation.path(name);

        run(send(name, &url, &open, &payload), "").await.assert_code(78);
        run(send(name, &url, &path("missing"), &payload), "").await.assert_code(78);
        run(send(name, &url, &path("no-whsec"), &payload), "").await.assert_code(78);
        run(send(name, &url, &path("short"), &payload), "").await.assert_code(78);
        run(send(name, &url, &secret, &path("missing")), "").await.assert_code(66);
        run(send(name, "http://bridge.corp.example/v1/hooks/soc", &secret, &payload), "")
            .await
            .assert_code(2);
        let mut nothing = tool(name);
        let script =
            if name == "bash" { "bash/quarantine-bridge-send.sh" } else { "python/quarantine-bridge-send" };
        nothing.arg(kit(script));
        run(nothing, "").await.assert_code(2);
        receiver.assert_no_action().await;
    }
}

#[tokio::test]
async fn python_command_waits_longer_when_nobody_answers() {
    let receiver = Receiver::start().await;
    let payload = written(&receiver, "a1");
    let command = send("python3", &format!("{NOWHERE}/v1/hooks/soc"), &receiver.secret_file(), &payload);
    let ran = run(command, "").await;
    ran.assert_code(69);
    assert!(ran.err.contains("refused"), "{ran:?}");
}

/// Programs that bash starts are seen by everybody in the list of processes: here each writes down its arguments.
#[tokio::test]
async fn bash_shows_the_secret_to_no_program_it_starts() {
    let receiver = Receiver::start().await;
    let payload = written(&receiver, "a1");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("arguments");
    for name in ["openssl", "curl", "od", "cat", "tr", "cut", "sed"] {
        let real = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
        let real = String::from_utf8(real.stdout).unwrap();
        let wrapper = folder.path().join(name);
        let code = format!(
            "#!/bin/sh\nprintf '%s ' \"{name}\" \"$@\" >> {}\nexec {} \"$@\"\n",
            log.display(),
            real.trim()
        );
        fs::write(&wrapper, code).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = send("bash", &receiver.url(), &receiver.secret_file(), &payload);
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path().display()));

    run(command, "").await.assert_code(0);

    let arguments = fs::read_to_string(log).unwrap();
    assert!(arguments.contains("openssl dgst -sha256") && arguments.contains("curl"), "{arguments}");
    for secret in [&WHSEC["whsec_".len()..], &hex_of(WHSEC)] {
        assert!(!arguments.contains(secret), "{arguments}");
    }
    receiver.assert_one_action().await;
}

fn hex_of(secret: &str) -> String {
    let bytes = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
    hex::encode(bytes)
}

#[tokio::test]
async fn python_signer_makes_the_published_signatures() {
    let code = r#"
import sys
sys.path.insert(0, sys.argv[1])
import quarantine_bridge_signer as signer
headers = signer.standard_webhooks(
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
)
assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", headers
# The value is of: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
headers = signer.timestamped("0123456789abcdef0123456789abcdef", 1700000000, b'{"a":1}')
assert headers["X-Bridge-Signature"] == sys.argv[2], headers
"#;
    let mac = "f05f2539e3ae1c49aec5f8cfdad75ef6b06480b133973ffbb7ec9e18827af177";
    let mut command = tool("python3");
    command.arg("-c").arg(code).arg(kit("python")).arg(format!("t=1700000000,v1={mac}"));
    run(command, "").await.assert_code(0);
}
