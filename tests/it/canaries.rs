//! Secrets of a configuration are in nothing that a run writes, answers or shows, whichever credential it has.

use std::process::Command;

use quarantine_bridge::clock::Clock;
use quarantine_bridge::simulator::{Federation, Simulator};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::binary::{Installation, command};
use crate::harness::certificates::rsa;
use crate::harness::issuer::SigningPair;
use crate::harness::{CLIENT, MACHINE, SECRET, SHA1, TENANT, WHSEC, poll, simulate};

const HEADER: &str = "identity-header-canary-51c0";
const LINK_KEY: &str = "link-key-canary-0d4e-0d4e-0d4e-0d4e";
const CALLBACK_SECRET: &str = "whsec_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ";
const CALLBACK_PATH: &str = "callback-path-canary-99e1";
const ISSUER: &str = "https://oidc.cluster.example/";
const BY_SECRET: &str = "client_secret = { file = \"defender-secret\" }";

/// All that must be nowhere. Whatever begins as a JWT does is a token or an assertion.
fn canaries() -> Vec<String> {
    let key = rsa().key.lines().filter(|line| line.len() > 30).map(ToOwned::to_owned);
    let texts = [SECRET, WHSEC, &WHSEC[6..], HEADER, LINK_KEY, CALLBACK_SECRET, &CALLBACK_SECRET[6..]];
    let more = [CALLBACK_PATH, "eyJ", "PRIVATE KEY"];
    texts.into_iter().chain(more).map(ToOwned::to_owned).chain(key).collect()
}

/// A simulator that knows every credential, in quick motion.
fn rehearsal() -> (Simulator, JoinSet<()>, SigningPair) {
    let (simulator, tasks) = simulate(Clock::system());
    let cluster = SigningPair::new("k1", "RS256");
    simulator.with(|state| {
        state.switches.in_progress_after_ms = 10;
        state.switches.done_after_ms = 50;
        state.credentials.certificates = vec![rsa().der.clone()];
        state.credentials.identity_header = HEADER.into();
        state.credentials.federations = vec![Federation {
            issuer: ISSUER.to_owned(),
            subject: "bridge".to_owned(),
            keys: vec![cluster.jwk()],
        }];
    });
    (simulator, tasks, cluster)
}

fn installation(simulator: &Simulator, cluster: &SigningPair, credential: &str) -> Installation {
    let more = format!(
        "[dispatch]\nlook_every = \"50ms\"\n[log]\nlevel = \"trace\"\n\
         [callbacks.soar]\nurl = \"http://127.0.0.1:9/{CALLBACK_PATH}\"\nsecrets = [{{ file = \"callback\" }}]\n\
         allow_private = [\"127.0.0.0/8\"]\n"
    );
    let installation = Installation::new(&simulator.url(), &more);
    let links = "[server]\npublic_url = \"https://bridge.example.com\"\nlink_key = { file = \"link-key\" }";
    installation.edit("[server]", links);
    installation.write_secret("link-key", LINK_KEY);
    installation.write_secret("callback", CALLBACK_SECRET);
    installation.write_secret("identity.pem", &format!("{}{}", rsa().certificate, rsa().key));
    let now = Clock::system().now().as_second();
    let claims = json!({"iss": ISSUER, "sub": "bridge", "aud": "api://AzureADTokenExchange", "nbf": now - 5, "exp": now + 900});
    installation.write("token", &cluster.token(&claims));
    installation.edit(BY_SECRET, credential);
    if credential.starts_with("managed_identity") {
        installation.edit(&format!("tenant_id = \"{TENANT}\"\n"), "");
    }
    installation
}

fn in_app_service(simulator: &Simulator, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.env("IDENTITY_ENDPOINT", format!("{}/msi/token", simulator.url())).env("IDENTITY_HEADER", HEADER);
    command
}

/// Delivers an alert; returns what was told.
fn deliver(installation: &Installation) -> String {
    let alert = json!({"alert_id": "a1", "severity": "high", "targets": [{"machine": MACHINE, "file": SHA1}],
                       "occurred_at": Clock::system().now().to_string()});
    installation.write("alert.json", &alert.to_string());
    let hook = installation.url("/v1/hooks/soc");
    let (status, _, told) =
        installation.told(&["send", "alert.json", "--secret-file", "soc-secret", "--url", &hook]);
    assert_eq!(status, 0, "{told}");
    told
}

/// Delivers an alert, follows its action to the end, and returns all that was answered on the way.
async fn run(installation: &Installation, simulator: &Simulator) -> String {
    let scopes = ["actions:read", "metrics", "audit:read", "callbacks:read"];
    let mut create = vec!["token", "create", "--name", "t"];
    create.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    let (status, token, told) = installation.told(&create);
    assert_eq!(status, 0, "{told}");
    let told = deliver(installation);
    poll("the call to Defender", || !simulator.machine_actions().is_empty()).await;
    poll("the end", || installation.log().contains("succeeded")).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let mut answers = told;
    for path in
        ["/v1/actions", "/metrics", "/v1/audit", "/readyz", "/v1/callbacks", "/v1/sources", "/v1/nowhere"]
    {
        let request = client.get(installation.url(path)).bearer_auth(token.trim());
        answers.push_str(&request.send().await.unwrap().text().await.unwrap());
    }
    assert!(answers.contains("\"succeeded\""), "{answers}");
    answers
}

#[tokio::test]
async fn no_secret_of_any_credential_is_in_anything_that_is_written_answered_or_shown() {
    let endpoint = "/metadata/identity/oauth2/token";
    for (credential, told, proof) in [
        (
            "managed_identity = { host = \"vm\", endpoint = \"{url}/metadata/identity/oauth2/token\" }",
            "managed identity",
            None,
        ),
        ("managed_identity = { host = \"app-service\" }", "managed identity client of this app", None),
        ("workload_identity = { token_file = \"token\" }", "with the token in", Some("assertion")),
        ("certificate = { file = \"identity.pem\" }", "with the certificate", Some("assertion")),
        (
            "certificate = { file = \"identity.pem\", algorithm = \"RS256\" }",
            "with the certificate",
            Some("assertion"),
        ),
        (BY_SECRET, "with a client secret", Some("secret")),
    ] {
        let (simulator, _tasks, cluster) = rehearsal();
        let credential = credential.replace("{url}", &simulator.url());
        let installation = installation(&simulator, &cluster, &credential);
        let mut shown = String::new();
        let commands: [&[&str]; 3] =
            [&["check"], &["check", "--json"], &["explain", "alert.json", "--source", "soc"]];
        let serving = installation.start(in_app_service(&simulator, &["serve"]), "log");
        installation.wait_until_ready().await;
        shown.push_str(&run(&installation, &simulator).await);
        for arguments in commands {
            let output =
                in_app_service(&simulator, arguments).current_dir(installation.folder.path()).output();
            let output = output.unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let text = text(output.stdout) + &text(output.stderr);
            assert_eq!(output.status.code(), Some(0), "{text}");
            assert!(arguments[0] != "check" || text.contains(told), "{told} is not in {text}");
            shown.push_str(&text);
        }
        assert_eq!(serving.terminate().await, Some(0));
        shown.push_str(&installation.log());

        for canary in canaries() {
            assert!(!shown.contains(&canary), "{credential}: {canary} is in {shown}");
        }
        let calls = simulator.calls();
        let asked: Vec<&Value> =
            calls.iter().filter(|call| call.path.contains("/token")).map(|call| &call.body).collect();
        assert!(!asked.is_empty() && asked.iter().all(|body| body["client_id"] == CLIENT), "{asked:?}");
        assert!(asked.iter().all(|body| body["proof"].as_str() == proof), "{asked:?}");
        let is_vm = credential.contains("\"vm\"");
        assert_eq!(calls.iter().any(|call| call.path.starts_with(endpoint)), is_vm, "{credential}");
    }
}

#[tokio::test]
async fn refusals_tell_no_secret_either() {
    for credential in [
        BY_SECRET,
        "certificate = { file = \"identity.pem\" }",
        "workload_identity = { token_file = \"token\" }",
    ] {
        let (simulator, _tasks, cluster) = rehearsal();
        let installation = installation(&simulator, &cluster, credential);
        simulator.with(|state| {
            state.credentials.client_secret = "another".into();
            state.credentials.certificates.clear();
            state.credentials.federations.clear();
        });
        let serving = installation.serve();
        installation.wait_until_ready().await;
        deliver(&installation);
        poll("a refusal", || installation.log().contains("AADSTS")).await;
        let log = installation.log();
        for canary in canaries() {
            assert!(!log.contains(&canary), "{credential}: {canary} is in {log}");
        }
        drop(serving);
    }
}

/// What stands in place of the client secret, the key that is complained about, and words of problem and remedy.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("", "defender.client_secret", "managed_identity = { host = \"vm\" }"),
    (
        "certificate = { file = \"identity.pem\" }\nclient_secret = { file = \"x\" }",
        "defender.client_secret",
        "stands beside certificate",
    ),
    ("managed_identity = { host = \"arc\" }", "defender.managed_identity.host", "\"app-service\""),
    ("managed_identity = {}", "defender.managed_identity.host", "is missing"),
    ("managed_identity = { host = \"app-service\" }", "defender.managed_identity.host", "IDENTITY_HEADER"),
    (
        "managed_identity = { host = \"vm\", endpoint = \"http://192.0.2.1/\" }",
        "defender.managed_identity.endpoint",
        "is not where Azure has it",
    ),
    ("managed_identity = { host = \"vm\", port = 1 }", "defender.managed_identity.port", "do you mean host?"),
    ("workload_identity = {}", "defender.workload_identity.token_file", "is missing"),
    (
        "workload_identity = { token_file = \"none\" }",
        "defender.workload_identity.token_file",
        "cannot be read",
    ),
    (
        "workload_identity = { token_file = \"identity.pem\" }",
        "defender.workload_identity.token_file",
        "holds no token",
    ),
    ("certificate = {}", "defender.certificate.file", "is missing"),
    ("certificate = { file = \"token\" }", "defender.certificate.file", "is open to everybody"),
    ("certificate = { file = \"defender-secret\" }", "defender.certificate.file", "holds no private key"),
    (
        "certificate = { file = \"identity.pem\", algorithm = \"ES256\" }",
        "defender.certificate.algorithm",
        "\"PS256\" or \"RS256\"",
    ),
    ("certificate = \"identity.pem\"", "defender.certificate", "string found"),
];

#[tokio::test]
async fn every_mistake_about_a_credential_is_told_without_a_secret() {
    let (simulator, _tasks, cluster) = rehearsal();
    for (credential, key, words) in MISTAKES {
        let installation = installation(&simulator, &cluster, credential);
        let (status, shown, told) = installation.told(&["check"]);
        assert_eq!(status, 78, "{credential}: {shown}");
        assert!(told.contains(&format!(": {key}: ")) && told.contains(words), "{credential}: {told}");
        for canary in canaries().iter().filter(|canary| *canary != "PRIVATE KEY") {
            assert!(!told.contains(canary), "{credential}: {canary} is in {told}");
        }
    }
    let with_tenant = installation(&simulator, &cluster, BY_SECRET);
    with_tenant.edit(BY_SECRET, "managed_identity = { host = \"vm\" }");
    let (status, _, told) = with_tenant.told(&["check"]);
    assert!(status == 78 && told.contains("means nothing beside managed_identity"), "{told}");
    // Where the platform says that its endpoint is elsewhere, nothing is sent there.
    let elsewhere = installation(&simulator, &cluster, "managed_identity = { host = \"app-service\" }");
    for endpoint in
        ["http://8.8.8.8/msi/token", "http://evil.example/msi/token", "file:///etc/passwd", "nonsense"]
    {
        let mut check = command(&["check"]);
        check.env("IDENTITY_ENDPOINT", endpoint).env("IDENTITY_HEADER", HEADER);
        let output = check.current_dir(elsewhere.folder.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("no address of this machine") && !told.contains(HEADER), "{endpoint}: {told}");
    }
}
