//! What proves the bridge to Microsoft is replaced while it runs: taken over without a restart, and never worse than before.

use std::path::Path;

use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::SigningKey;
use quarantine_bridge::microsoft::{Algorithm, Certificate, Exchange, Needs, Proof, TokenSource};
use quarantine_bridge::simulator::Simulator;
use quarantine_bridge::telemetry::Metrics;
use reqwest::Client;
use secrecy::SecretString;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::binary::{Installation, Serving};
use crate::harness::certificates::{Pair, rsa, rsa_until};
use crate::harness::{MACHINE, SECRET, WHSEC, identity, poll, proven_by, simulate, start_of_time};

const NEW_SECRET: &str = "the-new-client-secret-8d0f";
const IN_USE: &str = "read again and is in use";
const WRONG: &str = "the one before stays in use";

fn certificate(pair: &Pair) -> Certificate {
    let pem = SecretString::from(format!("{}{}", pair.key, pair.certificate));
    Certificate::read(&pem, Algorithm::Ps256).unwrap()
}

/// A service that sends, and the Entra ID and Defender that it sends to.
struct Running {
    installation: Installation,
    simulator: Simulator,
    serving: Serving,
    _tasks: JoinSet<()>,
}

impl Running {
    async fn start() -> Self {
        let (simulator, tasks) = simulate(Clock::system());
        let guards = ["os", "device_state", "protected_device", "microsoft_signed", "trusted_publisher"];
        let more = ["determination", "prevalence", "seen_on_device"];
        let off = [&guards[..], &more].concat().join(" = \"off\"\n");
        let more = format!("[sources.soc.policy.guards]\n{off} = \"off\"\n");
        let installation = Installation::new(&simulator.url(), &more);
        let serving = installation.serve();
        installation.wait_until_ready().await;
        Self { installation, simulator, serving, _tasks: tasks }
    }

    /// Delivers an alert and waits until Defender was called for it.
    async fn quarantine(&self, number: usize) {
        let now = Clock::system().now();
        let body = json!({"alert_id": format!("a{number}"), "severity": "high", "occurred_at": now.to_string(),
                          "targets": [{"machine": MACHINE, "file": format!("{number:040x}")}]});
        let key = SigningKey::from_whsec(&SecretString::from(WHSEC), None).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let request = self.installation.signed(&client, &key, &format!("msg_{number}"), &body.to_string());
        assert_eq!(request.send().await.unwrap().status().as_u16(), 202);
        let calls = || {
            let calls = self.simulator.calls().into_iter();
            calls.filter(|call| call.path.ends_with("/StopAndQuarantineFile") && call.status == 201).count()
        };
        poll("the quarantine call", || calls() == number).await;
    }

    /// How requests for tokens were answered.
    fn tokens(&self) -> Vec<u16> {
        let calls = self.simulator.calls().into_iter();
        calls.filter(|call| call.path.ends_with("/token")).map(|call| call.status).collect()
    }

    async fn logged(&self, text: &str) {
        poll(text, || self.installation.log().contains(text)).await;
    }

    /// Entra ID has another secret, and knows the old one no more.
    fn rotate_at_entra(&self) {
        self.simulator.with(|state| state.credentials.client_secret = NEW_SECRET.into());
    }
}

#[tokio::test]
async fn another_secret_in_the_file_is_used_without_a_restart() {
    let running = Running::start().await;
    running.quarantine(1).await;
    assert_eq!(running.tokens(), [200]);

    running.rotate_at_entra();
    running.installation.write_secret("defender-secret", NEW_SECRET);
    running.logged(IN_USE).await;
    running.quarantine(2).await;

    assert_eq!(running.tokens(), [200, 200], "the new secret is shown at once, not when the token ends");
    let log = running.installation.log();
    assert!(log.contains("what proves who asks for tokens was replaced"), "{log}");
    assert!(!log.contains("needs a restart"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(NEW_SECRET), "a secret is in the log");
    assert_eq!(running.serving.terminate().await, Some(0));
}

#[tokio::test]
async fn a_file_that_is_bad_leaves_the_old_secret_in_use() {
    let running = Running::start().await;
    running.quarantine(1).await;

    running.installation.write_secret("defender-secret", "\n");
    running.logged(WRONG).await;
    assert!(running.installation.log().contains("defender.client_secret.file"), "the log names the key");
    running.quarantine(2).await;

    // It is mended, and that is taken over by itself.
    running.rotate_at_entra();
    running.installation.write_secret("defender-secret", NEW_SECRET);
    running.logged(IN_USE).await;
    running.quarantine(3).await;
    assert_eq!(running.tokens(), [200, 200]);
}

#[tokio::test]
async fn a_secret_that_entra_id_does_not_know_is_told_and_the_old_token_serves() {
    let running = Running::start().await;
    running.quarantine(1).await;

    running.installation.write_secret("defender-secret", "one-that-nobody-registered");
    running.logged(IN_USE).await;
    running.quarantine(2).await;

    running.logged("the token could not be renewed; the old one serves to its end").await;
    assert_eq!(running.tokens()[..2], [200, 401]);
}

#[tokio::test]
async fn what_is_more_than_another_proof_takes_a_restart() {
    let running = Running::start().await;
    running.quarantine(1).await;

    running.installation.write_secret("defender-secret", NEW_SECRET);
    running.installation.edit("client_id = \"", "client_id = \"another-");
    running.logged("needs a restart").await;
    running.logged(IN_USE).await;
    running.quarantine(2).await;

    let log = running.installation.log();
    assert!(log.contains("defender.client_id"), "{log}");
    assert!(
        !log.contains("what proves who asks for tokens was replaced"),
        "the secret is that of another application"
    );
    assert_eq!(running.tokens(), [200]);
}

#[tokio::test]
async fn a_certificate_is_replaced_with_its_end() {
    let clock = Clock::manual(start_of_time());
    let (simulator, _tasks) = simulate(clock.clone());
    let renewed = rsa_until(2040);
    let (old, new) = (certificate(rsa()), certificate(&renewed));
    simulator.with(|state| state.credentials.certificates = vec![rsa().der.clone()]);
    let by = |certificate: &Certificate| proven_by(&simulator.url(), Proof::Certificate(certificate.clone()));
    let metrics = Metrics::new();
    let needs =
        Needs { api: "defender", scope: "https://api.securitycenter.microsoft.com/.default", roles: &[] };
    let exchange = Exchange::with(&simulator.url().parse().unwrap()).unwrap();
    let tokens = TokenSource::new(&by(&old), &needs, exchange, metrics.clone());
    let end = || {
        let shown = metrics.render();
        let line =
            shown.lines().find(|line| line.starts_with("quarantine_bridge_credential_expiry")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()
    };
    tokens.token(clock.now()).await.unwrap();
    let asked = || simulator.calls().len();

    // The same, another kind, another application: nothing is asked anew.
    let another_kind = identity(&simulator.url());
    let federated = proven_by(&simulator.url(), Proof::Federated(Path::new("/nowhere").to_owned()));
    for same in [by(&old), another_kind, federated] {
        tokens.take_over(&same);
        tokens.token(clock.now()).await.unwrap();
        assert_eq!(asked(), 1);
    }
    simulator.with(|state| state.credentials.certificates = vec![renewed.der.clone()]);
    tokens.take_over(&by(&new));
    tokens.token(clock.now()).await.unwrap();

    assert_eq!(asked(), 2);
    assert!(simulator.calls().iter().all(|call| call.status == 200));
    assert_ne!(old.not_after(), new.not_after());
    assert_eq!(end(), new.not_after().as_second());
}
