//! Kits without a script: what they would send is made of the shipped file, by the tool's own rules, and sent.

use quarantine_bridge::clock::Clock;
use reqwest::Client;
use serde_json::{Value, json};

use super::{Receiver, now, read, read_json, run, tool};
use crate::harness::relay::{Relay, wait_for_counts};
use crate::harness::{CLIENT, MACHINE, SECRET, SHA1, TENANT, simulate};

/// A secret as text, for the scheme `timestamped` and for tokens.
pub(super) const TEXT_SECRET: &str = "text-secret-canary-0123456789abcdef";

const SOURCES: &str = r#"
[sources.formula]
format = "bridge"
mode = "enforce"
min_severity = "low"
[sources.formula.auth]
scheme = "timestamped"
secrets = [{ file = "text-secret" }]

[sources.elastic]
format = "bridge"
mode = "approve"
min_severity = "low"
accept_unsigned = true
[sources.elastic.auth]
scheme = "bearer"
secrets = [{ file = "text-secret" }]
"#;

async fn receiver() -> Receiver {
    Receiver::with(SOURCES, &[("text-secret", TEXT_SECRET)]).await
}

/// Lets node play the tool.
async fn played(script: &str, input: Value) -> String {
    let mut command = tool("node");
    command.arg("-e").arg(script);
    let ran = run(command, &input.to_string()).await;
    ran.assert_code(0);
    ran.out
}

/// Posts what a kit has made; returns status and body.
async fn post(receiver: &Receiver, source: &str, request: &Value) -> (u16, Value) {
    let headers = request["headers"].as_object().unwrap();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    receiver.post(source, request["body"].as_str().unwrap(), &headers).await
}

async fn n8n(secret: &str) -> Value {
    let item = json!({"alert_id": "n8n-1", "severity": "High", "title": "T\u{ed}tulo \u{2013} \"dropper\"", "occurred_at": now(),
        "machine": MACHINE.to_uppercase(), "file_hash": SHA1.to_uppercase()});
    let workflow = read_json("n8n/quarantine-bridge.workflow.json");
    let input = json!({"workflow": workflow, "item": item, "secret": secret});
    serde_json::from_str(&played(include_str!("n8n.js"), input).await).unwrap()
}

#[tokio::test]
async fn n8n_workflow_makes_a_request_that_is_accepted() {
    let receiver = receiver().await;

    let request = n8n(TEXT_SECRET).await;
    let (status, body) = post(&receiver, "formula", &request).await;

    assert_eq!((status, &request["method"]), (202, &json!("POST")), "{body}");
    let action = receiver.assert_one_action().await;
    assert_eq!(action["alert"]["title"], "T\u{ed}tulo \u{2013} \"dropper\"");
    assert_eq!(action["alert"]["severity"], "high");
    let (status, _) = post(&receiver, "formula", &n8n("another-secret-of-32-characters!").await).await;
    assert_eq!(status, 401);
}

#[test]
fn n8n_workflow_holds_no_secret_and_tries_again() {
    let text = read("n8n/quarantine-bridge.workflow.json");
    let workflow = read_json("n8n/quarantine-bridge.workflow.json");
    let node = |kind: &str| {
        let nodes = workflow["nodes"].as_array().unwrap().iter();
        nodes.clone().find(|node| node["type"] == kind).unwrap().clone()
    };
    assert_eq!(node("n8n-nodes-base.crypto")["credentials"]["crypto"]["name"], "quarantine-bridge");
    assert!(!text.contains("require("), "no module of Node.js is needed");
    let http = node("n8n-nodes-base.httpRequest");
    assert_eq!((&http["retryOnFail"], &http["maxTries"]), (&json!(true), &json!(4)));
}

async fn tines(secret: &str) -> Value {
    let body = json!({"id": "tines-1", "severity": "high", "title": "T\u{ed}tulo \"dropper\"", "occurred_at": now(),
        "machine_id": MACHINE, "sha1": SHA1});
    let input = json!({"story": read_json("tines/quarantine-bridge.actions.json"), "event": {"body": body},
        "credential": secret, "resource": "https://bridge.corp.example/v1/hooks/tines"});
    serde_json::from_str(&played(include_str!("tines.js"), input).await).unwrap()
}

#[tokio::test]
async fn tines_story_makes_a_request_that_is_accepted() {
    let receiver = receiver().await;

    let request = tines(TEXT_SECRET).await;
    let (status, body) = post(&receiver, "formula", &request).await;

    assert_eq!((status, &request["method"]), (202, &json!("post")), "{body}");
    assert_eq!(request["url"], "https://bridge.corp.example/v1/hooks/tines");
    assert_eq!(receiver.assert_one_action().await["alert"]["title"], "T\u{ed}tulo \"dropper\"");
    let (status, _) = post(&receiver, "formula", &tines("another-secret-of-32-characters!").await).await;
    assert_eq!(status, 401);
}

/// An alert of Elastic Security as Kibana hands it to a connector: nested, with the action's context around it.
fn kibana_view() -> Value {
    let file = json!({"name": "evil \"quoted\".dll", "path": "C:\\Temp\\evil.dll", "hash": {"sha1": SHA1}});
    let process = json!({"name": "loader.exe", "hash": {"sha1": "4444444444dddddddddd4444444444dddddddddd"}});
    let alert = json!({
        "@timestamp": now(), "host": {"name": "ws-0147"}, "file": file, "process": process,
        "kibana": {"alert": {"uuid": "e1b1d5", "severity": "high", "rule": {"name": "Malware \u{2013} found"}}},
    });
    json!({"context": {"alerts": [alert]}, "rule": {"name": "Malware"}})
}

async fn kibana(kind: &str) -> String {
    let template = read(&format!("elastic/body-{kind}.mustache"));
    played(include_str!("mustache.js"), json!({"template": template, "view": kibana_view()})).await
}

#[tokio::test]
async fn elastic_template_with_the_connectors_headers_is_accepted() {
    let connector = read_json("elastic/connector.json");
    assert_eq!(
        (&connector["connector_type_id"], &connector["config"]["method"]),
        (&json!(".webhook"), &json!("post"))
    );
    for (kind, sha1) in [("file", SHA1), ("process", "4444444444dddddddddd4444444444dddddddddd")] {
        let receiver = receiver().await;
        let body = kibana(kind).await;
        let mut headers = connector["config"]["headers"].as_object().unwrap().clone();
        headers.extend(connector["secrets"]["secretHeaders"].as_object().unwrap().clone());
        let shipped = headers["Authorization"].as_str().unwrap().to_owned();
        headers["Authorization"] = json!(shipped.replace("REPLACE-WITH-THE-TOKEN", TEXT_SECRET));

        let (status, answer) = post(&receiver, "elastic", &json!({"headers": headers, "body": body})).await;

        assert_eq!(status, 202, "{answer}\n{body}");
        let actions = receiver.actions().await;
        assert_eq!(actions.len(), 1);
        assert_eq!(actions[0]["machine"]["dns_name"], "ws-0147");
        assert_eq!(actions[0]["file"]["sha1"], sha1);
        assert_eq!(actions[0]["alert"]["id"], "e1b1d5");
        assert_eq!(actions[0]["alert"]["title"], "Malware \u{2013} found");
        headers["Authorization"] = json!(shipped);
        let (status, _) = post(&receiver, "elastic", &json!({"headers": headers, "body": body})).await;
        assert_eq!(status, 401, "the token that is shipped opens nothing");
    }
}

/// Kibana's request with the shipped connector, through a real relay beside it.
#[tokio::test]
async fn elastic_connector_for_the_relay_brings_a_signed_alert() {
    let connector = read_json("elastic/connector-relay.json");
    assert_eq!(connector["config"]["url"], "http://127.0.0.1:8422/", "the relay's own address");
    let receiver = Receiver::start().await;
    receiver.installation.write_secret("relay-key", TEXT_SECRET);
    let required = ["--require-header", "X-Relay-Key", "--header-file", "relay-key"];
    let relay = Relay::start(&receiver.installation, &required).await;
    let shipped = connector["secrets"]["secretHeaders"]["X-Relay-Key"].as_str().unwrap();
    let content_type = connector["config"]["headers"]["Content-Type"].as_str().unwrap();
    let body = kibana("file").await;
    let post = async |key: &str| {
        let request =
            relay.request(body.clone()).header("content-type", content_type).header("X-Relay-Key", key);
        request.send().await.unwrap().status().as_u16()
    };

    assert_eq!(post(shipped).await, 401, "the key that is shipped opens nothing");
    assert_eq!(post(TEXT_SECRET).await, 202);
    wait_for_counts(&receiver.installation, [0, 0, 0]).await;

    let actions = receiver.actions().await;
    assert_eq!(actions.len(), 1);
    assert_eq!((&actions[0]["alert"]["id"], &actions[0]["file"]["sha1"]), (&json!("e1b1d5"), &json!(SHA1)));
}

/// The workflow of the template, and the definition in it.
fn sentinel_workflow() -> (Value, Value) {
    let template = read_json("sentinel/azuredeploy.json");
    let resources = template["resources"].as_array().unwrap();
    let workflow = resources.iter().find(|it| it["type"] == "Microsoft.Logic/workflows").unwrap();
    (workflow.clone(), workflow["properties"]["definition"].clone())
}

#[test]
fn sentinel_template_makes_a_playbook_with_an_identity() {
    let template = read_json("sentinel/azuredeploy.json");
    for name in ["PlaybookName", "BridgeUrl", "BridgeAudience", "WaitForResult", "WaitFor"] {
        assert!(template["parameters"][name]["metadata"]["description"].is_string(), "{name}");
    }
    let (workflow, definition) = sentinel_workflow();
    assert_eq!(workflow["identity"]["type"], "SystemAssigned");
    let used = &workflow["properties"]["parameters"]["$connections"]["value"]["azuresentinel"];
    assert_eq!(used["connectionProperties"]["authentication"]["type"], "ManagedServiceIdentity");
    let resources = template["resources"].as_array().unwrap();
    let connection = resources.iter().find(|it| it["type"] == "Microsoft.Web/connections").unwrap();
    assert_eq!(connection["properties"]["parameterValueType"], "Alternative");
    assert_eq!(definition["triggers"]["Microsoft_Sentinel_incident"]["inputs"]["path"], "/incident-creation");
    assert!(template["outputs"]["principalId"].is_object());
}

#[test]
fn sentinel_playbook_shows_its_token_and_waits_where_asked() {
    let (_, definition) = sentinel_workflow();
    let choice = &definition["actions"]["Send_the_incident"];
    assert_eq!(choice["expression"], json!({"equals": ["[parameters('WaitForResult')]", true]}));
    let (wait, once) = (&choice["actions"]["Send_and_wait"], &choice["else"]["actions"]["Send_once"]);
    for send in [wait, once] {
        let identity =
            json!({"type": "ManagedServiceIdentity", "audience": "[parameters('BridgeAudience')]"});
        assert_eq!(send["inputs"]["authentication"], identity);
        let what = (&send["inputs"]["method"], &send["inputs"]["body"], &send["inputs"]["uri"]);
        assert_eq!(what, (&json!("POST"), &json!("@triggerBody()"), &json!("[parameters('BridgeUrl')]")));
        assert_eq!(send["inputs"]["headers"]["Content-Type"], "application/json");
        assert_eq!(send["inputs"]["retryPolicy"]["type"], "exponential");
    }
    assert!(wait["operationOptions"].is_null(), "the async pattern is on where nothing turns it off");
    assert_eq!(wait["limit"]["timeout"], "[parameters('WaitFor')]");
    assert_eq!(once["operationOptions"], "DisableAsyncPattern");
}

#[test]
fn sentinel_playbook_tells_success_and_failure_in_the_incident() {
    let (_, definition) = sentinel_workflow();
    let actions = &definition["actions"];
    for (name, after) in
        [("Tell_the_result", json!(["Succeeded"])), ("Tell_the_failure", json!(["Failed", "TimedOut"]))]
    {
        assert_eq!(actions[name]["runAfter"]["Send_the_incident"], after, "{name}");
        assert_eq!(actions[name]["inputs"]["path"], "/Incidents/Comment");
        assert_eq!(actions[name]["inputs"]["body"]["incidentArmId"], "@triggerBody()?['object']?['id']");
    }
    assert_eq!(actions["Fail_the_run"]["inputs"]["runStatus"], "Failed");
    let names: Vec<&String> = actions.as_object().unwrap().keys().collect();
    for action in actions.as_object().unwrap().values() {
        for before in action["runAfter"].as_object().unwrap().keys() {
            assert!(names.contains(&before), "there is no action {before}");
        }
    }
}

/// An incident as the trigger of Logic Apps gives it: a file that Defender has detected, on the device it names.
fn incident() -> Value {
    let arm = "/subscriptions/s/resourceGroups/r/providers/Microsoft.OperationalInsights/workspaces/w/providers/Microsoft.SecurityInsights";
    let entity = |kind: &str, id: &str, properties: Value| json!({"id": format!("{arm}/Entities/{id}"), "type": "Microsoft.SecurityInsights/Entities", "kind": kind, "properties": properties});
    json!({"eventUniqueId": "e", "object": {
        "id": format!("{arm}/Incidents/7f1c0b1e-0000-4000-8000-000000000001"), "name": "7f1c0b1e-0000-4000-8000-000000000001",
        "type": "Microsoft.SecurityInsights/Incidents",
        "properties": {
            "title": "Malware on ws-0147", "severity": "High", "status": "New", "createdTimeUtc": now(), "incidentNumber": 4711,
            "incidentUrl": "https://portal.azure.com/incident", "additionalData": {"alertProductNames": ["Azure Sentinel"]},
            "relatedEntities": [
                entity("Host", "h", json!({"hostName": "ws-0147", "dnsDomain": "corp.example", "additionalData": {"MdatpDeviceId": MACHINE}})),
                entity("File", "f", json!({"fileName": "evil.dll", "fileHashEntityIds": [format!("{arm}/entities/s")],
                    "additionalData": {"MdatpDeviceId": MACHINE, "DetectionStatus": "detected"}})),
                entity("FileHash", "s", json!({"hashValue": SHA1, "algorithm": "SHA1"})),
            ],
        },
    }})
}

/// The source of the README, with the simulator as Entra ID and its identity as the playbook's.
fn sentinel_source(simulator: &str) -> String {
    let readme = read("sentinel/README.md");
    let block = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut source = block.to_owned();
    for (shown, ours) in [
        (
            "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
            format!("{simulator}/{TENANT}/v2.0"),
        ),
        ("api://11111111-1111-1111-1111-111111111111", "api://quarantine-bridge".to_owned()),
        ("22222222-2222-2222-2222-222222222222", CLIENT.to_owned()),
    ] {
        assert!(source.contains(shown), "{shown} is not in the README");
        source = source.replace(shown, &ours);
    }
    format!("{source}allow_insecure_loopback = true\n")
}

/// A token as a managed identity gets it from Entra ID.
async fn token(simulator: &str) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}&scope=api://quarantine-bridge/.default"
    );
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{simulator}/{TENANT}/oauth2/v2.0/token"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = request.send().await.unwrap();
    let status = response.status();
    let answer = response.text().await.unwrap();
    let answer: Value =
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {status} {answer}"));
    answer["access_token"].as_str().unwrap().to_owned()
}

/// The playbook's request: its headers, its identity's token, and the trigger's body.
#[tokio::test]
async fn sentinel_playbooks_request_is_accepted() {
    let (simulator, _tasks) = simulate(Clock::system());
    // Before anybody else asks: the simulator makes its key at the first question, which takes a while.
    let authorization = format!("Bearer {}", token(&simulator.url()).await);
    let receiver = Receiver::with(&sentinel_source(&simulator.url()), &[]).await;
    let (_, definition) = sentinel_workflow();
    let send = &definition["actions"]["Send_the_incident"]["else"]["actions"]["Send_once"]["inputs"];
    let content_type = send["headers"]["Content-Type"].as_str().unwrap();
    let headers = [("content-type", content_type), ("authorization", authorization.as_str())];
    let body = incident().to_string();

    let (mut status, mut answer) = (503, Value::Null);
    // 503 until the issuer's keys have come: the playbook tries again, too.
    for _ in 0..1_000 {
        (status, answer) = receiver.post("sentinel", &body, &headers).await;
        if status != 503 {
            break;
        }
    }

    assert_eq!(status, 202, "{answer}");
    assert_eq!(receiver.assert_one_action().await["alert"]["id"], "7f1c0b1e-0000-4000-8000-000000000001");
    let (status, _) = receiver.post("sentinel", &body, &[("content-type", content_type)]).await;
    assert_eq!(status, 401, "nobody gets in without a token");
}
