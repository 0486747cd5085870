//! Python inside SOAR tools: each script runs with what its tool puts around it, played by a few lines.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ran, Receiver, assert_same_delivery, kit, now, read, run, tool};
use crate::harness::{MACHINE, SHA1, WHSEC};

/// A folder with a script and modules that play its tool; what is asked of the script goes in as JSON.
struct Stage {
    folder: TempDir,
    script: &'static str,
}

impl Stage {
    fn new(script: &'static str, files: &[(&str, &str)]) -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap(), script };
        for (name, code) in files {
            let path = stage.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, code).unwrap();
        }
        stage
    }

    async fn play(&self, input: Value) -> Ran {
        let mut command = tool("python3");
        command.current_dir(self.folder.path()).arg(self.script);
        run(command, &input.to_string()).await
    }
}

/// The arguments that every one of the SOAR kits takes, under its own names.
fn arguments(names: [&str; 6]) -> Value {
    let values = ["INC-2291", "High", MACHINE, SHA1, "evil.dll", &now()].map(ToOwned::to_owned);
    names.into_iter().zip(values).collect::<std::collections::BTreeMap<_, _>>().into_iter().collect::<Value>()
}

async fn assert_accepted(receiver: &Receiver) {
    let action = receiver.assert_one_action().await;
    assert_eq!(action["alert"]["id"], "INC-2291");
    assert_eq!(action["alert"]["severity"], "high");
}

// --- Cortex XSOAR

/// The script inside the integration's YAML.
pub(super) fn xsoar_script() -> String {
    let yaml: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&read("xsoar/integration-QuarantineBridge.yml")).unwrap();
    yaml["script"]["script"].as_str().unwrap().to_owned()
}

const DEMISTOMOCK: &str = "
import json, sys
_given = json.load(sys.stdin)
def params(): return _given['params']
def args(): return _given['args']
def command(): return _given['command']
";

const COMMON_SERVER_PYTHON: &str = "
import json, sys
class CommandResults:
    def __init__(self, outputs_prefix=None, outputs_key_field=None, outputs=None, readable_output=None):
        self.shown = {'prefix': outputs_prefix, 'key': outputs_key_field, 'outputs': outputs, 'text': readable_output}
def return_results(results):
    print(json.dumps(getattr(results, 'shown', results)))
def return_error(text):
    print(json.dumps({'error': text}))
    sys.exit(0)
";

fn xsoar() -> Stage {
    Stage::new(
        "script.py",
        &[
            ("script.py", &xsoar_script()),
            ("demistomock.py", DEMISTOMOCK),
            ("CommonServerPython.py", COMMON_SERVER_PYTHON),
        ],
    )
}

fn xsoar_input(command: &str, url: &str, secret: &str) -> Value {
    let args = arguments(["alert_id", "severity", "machine", "file_hash", "file_name", "occurred_at"]);
    json!({"command": command, "params": {"url": url, "credentials": {"password": secret}}, "args": args})
}

#[tokio::test]
async fn xsoar_command_sends_an_incident() {
    let receiver = Receiver::start().await;
    let mut front = receiver.behind_busy(1).await;

    let ran = xsoar().play(xsoar_input("quarantine-bridge-send", &front.url(), WHSEC)).await;

    assert_same_delivery(&front.requests());
    assert_accepted(&receiver).await;
    let outputs = &ran.assert_code(0).json()["outputs"];
    let action = receiver.assert_one_action().await;
    assert_eq!(outputs["action_id"], action["id"], "{ran:?}");
    assert_eq!(outputs["duplicate"], false);
    // What the YAML says the command answers, it answers.
    let yaml: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&read("xsoar/integration-QuarantineBridge.yml")).unwrap();
    for output in yaml["script"]["commands"][0]["outputs"].as_sequence().unwrap() {
        let name = output["contextPath"].as_str().unwrap().rsplit('.').next().unwrap();
        assert!(!outputs[name].is_null(), "{name}: {outputs}");
    }
}

#[tokio::test]
async fn xsoar_test_button_sends_nothing_and_finds_mistakes() {
    let receiver = Receiver::start().await;
    let mut front = receiver.behind_busy(0).await;

    let ran = xsoar().play(xsoar_input("test-module", &front.url(), WHSEC)).await;
    assert_eq!(ran.json(), "ok");
    let ran = xsoar().play(xsoar_input("test-module", &front.url(), "whsec_AAAA")).await;
    assert!(ran.json()["error"].as_str().unwrap().contains("24 to 64"), "{ran:?}");
    let ran = xsoar().play(xsoar_input("test-module", "http://bridge.corp.example", WHSEC)).await;
    assert!(ran.json()["error"].as_str().unwrap().contains("https://"), "{ran:?}");

    assert_eq!(front.requests().len(), 0);
}

#[tokio::test]
async fn xsoar_command_fails_loudly_with_a_wrong_secret() {
    let receiver = Receiver::start().await;
    let ran = xsoar().play(xsoar_input("quarantine-bridge-send", &receiver.url(), super::WRONG)).await;
    assert!(ran.json()["error"].as_str().unwrap().contains("compare the secrets"), "{ran:?}");
    receiver.assert_no_action().await;
}

// --- Splunk SOAR

const PHANTOM_RULES: &str = "
import sys
def debug(text): sys.stderr.write('DEBUG %s\\n' % text)
def error(text): sys.stderr.write('ERROR %s\\n' % text)
";

/// SOAR calls the function with the inputs that the JSON beside it lists, all of them by name.
const SOAR: &str = "
import json, sys
from quarantine_bridge_send import quarantine_bridge_send
print(json.dumps(quarantine_bridge_send(**json.load(sys.stdin))))
";

fn soar() -> Stage {
    Stage::new(
        "soar.py",
        &[
            ("soar.py", SOAR),
            ("quarantine_bridge_send.py", &read("splunk-soar/quarantine_bridge_send.py")),
            ("phantom/__init__.py", ""),
            ("phantom/rules.py", PHANTOM_RULES),
        ],
    )
}

fn soar_input(url: &str, secret_file: &std::path::Path) -> Value {
    let mut input = arguments(["alert_id", "severity", "machine", "file_hash", "file_name", "occurred_at"]);
    input["url"] = json!(url);
    input["secret_file"] = json!(secret_file);
    input["title"] = json!("Dropper \u{2013} ws-0147");
    input
}

#[tokio::test]
async fn splunk_soar_function_sends_a_container() {
    let receiver = Receiver::start().await;
    let mut front = receiver.behind_busy(1).await;
    let input = soar_input(&front.url(), &receiver.secret_file());

    let ran = soar().play(input.clone()).await;

    assert_same_delivery(&front.requests());
    assert_accepted(&receiver).await;
    let outputs = ran.assert_code(0).json();
    assert_eq!(outputs["status"], "accepted", "{ran:?}");
    assert_eq!(outputs["action_id"], receiver.actions().await[0]["id"]);
    // The JSON that SOAR imports lists these inputs and outputs.
    let definition = super::read_json("splunk-soar/quarantine_bridge_send.json");
    let names = |list: &Value, key: &str| {
        let names = list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&definition["inputs"], "name"), input.as_object().unwrap().keys().cloned().collect());
    assert_eq!(
        names(&definition["outputs"], "data_path"),
        outputs.as_object().unwrap().keys().cloned().collect()
    );
}

#[tokio::test]
async fn splunk_soar_function_tells_each_kind_of_failure() {
    let receiver = Receiver::start().await;
    let input = |url: &str, file: &std::path::Path| soar_input(url, file);

    let ran = soar().play(input(&receiver.url(), &receiver.wrong_secret_file())).await;
    assert_eq!(ran.json()["status"], "refused", "{ran:?}");
    assert!(
        ran.err.contains("ERROR quarantine-bridge") && ran.err.contains("compare the secrets"),
        "{ran:?}"
    );
    let ran = soar().play(input(&receiver.url(), std::path::Path::new("/nowhere"))).await;
    assert_eq!(ran.json()["status"], "misconfigured", "{ran:?}");
    let front = receiver.behind_busy(super::BUSY_FOR_EVER).await;
    let ran = soar().play(input(&front.url(), &receiver.secret_file())).await;
    assert_eq!(ran.json()["status"], "unreachable", "{ran:?}");

    receiver.assert_no_action().await;
}

// --- Google SecOps

const SIEMPLIFY_ACTION: &str = "
import json, sys
_given = json.load(sys.stdin)
class _Logger:
    def error(self, text): sys.stderr.write(text + '\\n')
    info = error
class _Result:
    json = None
    def add_result_json(self, text): self.json = json.loads(text)
class SiemplifyAction:
    def __init__(self):
        self.LOGGER, self.result = _Logger(), _Result()
    def extract_configuration_param(self, provider_name, param_name):
        return _given['configuration'][param_name]
    def extract_action_param(self, param_name):
        return _given['parameters'].get(param_name)
    def end(self, message, result, state):
        print(json.dumps({'message': message, 'result': result, 'state': state, 'json': self.result.json}))
        sys.exit(0)
";

fn secops() -> Stage {
    Stage::new(
        "SendToBridge.py",
        &[
            ("SendToBridge.py", &read("google-secops/SendToBridge.py")),
            ("quarantine_bridge_signer.py", &read("google-secops/quarantine_bridge_signer.py")),
            ("SiemplifyAction.py", SIEMPLIFY_ACTION),
            ("SiemplifyUtils.py", "def output_handler(function): return function\n"),
            ("ScriptResult.py", "EXECUTION_STATE_COMPLETED, EXECUTION_STATE_FAILED = 0, 2\n"),
        ],
    )
}

fn secops_input(url: &str, secret: &str) -> Value {
    let names = ["Alert ID", "Severity", "Machine", "File Hash", "File Name", "Occurred At"];
    json!({"configuration": {"Source URL": url, "Signing Secret": secret}, "parameters": arguments(names)})
}

#[tokio::test]
async fn google_secops_action_sends_an_alert() {
    let receiver = Receiver::start().await;
    let mut front = receiver.behind_busy(1).await;

    let ran = secops().play(secops_input(&front.url(), WHSEC)).await;

    assert_same_delivery(&front.requests());
    assert_accepted(&receiver).await;
    let end = ran.assert_code(0).json();
    assert_eq!((&end["result"], &end["state"]), (&json!(true), &json!(0)), "{ran:?}");
    assert_eq!(end["json"]["alerts"][0]["actions"][0]["id"], receiver.actions().await[0]["id"]);
}

#[tokio::test]
async fn google_secops_action_fails_loudly_with_a_wrong_secret() {
    let receiver = Receiver::start().await;

    for (url, secret, says) in [
        (receiver.url(), super::WRONG, "compare the secrets"),
        (receiver.url(), "whsec_AAAA", "24 to 64"),
        ("http://bridge.corp.example/".to_owned(), WHSEC, "https://"),
    ] {
        let end = secops().play(secops_input(&url, secret)).await.json();
        assert_eq!((&end["result"], &end["state"]), (&json!(false), &json!(2)));
        assert!(end["message"].as_str().unwrap().contains(says), "{end}");
    }

    receiver.assert_no_action().await;
}

// --- Shuffle

/// Shuffle writes values into the text before it runs it.
async fn shuffle(url: &str, secret: &str) -> Value {
    let mut code = read("shuffle/send_to_bridge.py");
    let given = arguments(["alert_id", "severity", "machine", "file_hash", "file_name", "occurred_at"]);
    for name in ["alert_id", "severity", "machine", "file_hash", "occurred_at"] {
        let value = given[name].as_str().unwrap().to_lowercase();
        let value = if name == "severity" { value } else { given[name].as_str().unwrap().to_owned() };
        assert!(code.contains(&format!("$exec.{name}\"\"\"")), "{name}");
        code = code.replace(&format!("$exec.{name}"), &value);
    }
    code = code.replace("$bridge_url", url).replace("$bridge_secret", secret);
    let left = code.lines().filter(|line| !line.starts_with('#')).any(|line| line.contains("r\"\"\"$"));
    assert!(!left, "a value of Shuffle is left in the text");
    Stage::new("step.py", &[("step.py", &code)]).play(json!(null)).await.assert_code(0).json()
}

#[tokio::test]
async fn shuffle_step_sends_an_alert_and_tells_failures() {
    let receiver = Receiver::start().await;
    let front = receiver.behind_busy(1).await;

    let refused = shuffle(&receiver.url(), super::WRONG).await;
    assert!(refused["reason"].as_str().unwrap().contains("compare the secrets"), "{refused}");
    let taken = shuffle(&front.url(), WHSEC).await;

    assert_eq!(taken["success"], true, "{taken}");
    assert_accepted(&receiver).await;
}

/// The conditions before the step, as its README lists them: what they let through is no Python.
#[test]
fn shuffle_readme_lists_a_condition_for_each_value() {
    let readme = read("shuffle/README.md");
    let script = fs::read_to_string(kit("shuffle/send_to_bridge.py")).unwrap();
    for name in ["alert_id", "severity", "occurred_at", "machine", "file_hash"] {
        assert!(script.contains(&format!("$exec.{name}")));
        assert!(readme.contains(&format!("| `$exec.{name}` | `^")), "{name} has no condition");
    }
}
