//! `demo`: the whole way of an alert, against the built-in simulator, with nothing to configure.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args as ClapArgs;
use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::{runtime, time};
use tracing::level_filters::LevelFilter;
use url::Url;
use uuid::Uuid;

use crate::alert::{Mode, Severity, SourceName, after};
use crate::audit::Digest;
use crate::clock::Clock;
use crate::config::{Complaints, Config};
use crate::defender::Options as DefenderOptions;
use crate::dispatch;
use crate::http::{ApiToken, Options as HttpOptions, Quota, Source};
use crate::ingest::{Gate, SigningKey};
use crate::mapping::{BuiltIn, Format};
use crate::microsoft::{AppRegistration, Identity, Proof};
use crate::outgoing::Outgoing;
use crate::policy::Policy;
use crate::simulator::{Credentials, Machine, Simulator, World, new_state};
use crate::store::{NewToken, Options as StoreOptions, Retention, Scope, add_token};
use crate::telemetry::LogFormat;

use super::exit::say;
use super::operator::operator;
use super::send::{Answer, post};
use super::simulate::{CLIENT, TENANT};
use super::{Service, assemble, sign};

/// The alert that is sent, of the shape that Microsoft documents, with values of our own.
const ALERT: &str = include_str!("demo_alert.json");

/// The secret that the simulated Entra ID takes.
const CLIENT_SECRET: &str = "simulated-secret";

/// How long the whole way may take: some 6 s are usual.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(async {
        let shown = time::timeout(PATIENCE, demo()).await;
        shown.unwrap_or_else(|_| bail!("the demo did not end within {} s", PATIENCE.as_secs()))
    })
}

/// Says one step.
fn step(word: &str, text: &str) {
    say(&format!("{word:<12}{text}"));
}

async fn demo() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let alert = Alert::now(Clock::system().now())?;
    let mut tasks = JoinSet::new();
    let simulator = start_simulator(&alert, &mut tasks)?;
    let key = SigningKey::from_whsec(&new_secret(), None)?;
    let bridge = start_bridge(&simulator, folder.path(), key, &mut tasks).await?;
    step("simulator", &format!("a local Entra ID and Defender on {}", simulator.url()));
    step("bridge", &format!("on {}, with a database in {}", bridge.url, folder.path().display()));

    let action = bridge.send_alert(&alert).await?;
    let record = bridge.follow(&action).await?;
    ensure!(
        record.pointer("/state") == Some(&json!("succeeded")),
        "the action ended as {}",
        text(&record, "/state")
    );
    show_what_defender_saw(&simulator, &alert)?;
    bridge.send_again(&alert, &action).await?;
    bridge.send_forged(&alert).await?;
    ensure!(simulator.machine_actions().len() == 1, "more than one machine action was made");
    step("counted", "1 machine action at Defender, after 3 deliveries");

    bridge.stop.send_replace(true);
    tasks.abort_all();
    say(
        "\nIt works here. Next: rehearse with your own alerts (`quarantine-bridge simulate`), then connect a tenant: README.md,\n\
         \"First real set-up\".",
    );
    Ok(())
}

/// The alert of the demo.
struct Alert {
    body: Vec<u8>,
    machine_id: String,
    dns_name: String,
    sha1: String,
}

impl Alert {
    /// The alert, as if it had happened just now.
    fn now(now: Timestamp) -> anyhow::Result<Self> {
        let mut alert: Value = serde_json::from_str(ALERT)?;
        if let Some(created) = alert.pointer_mut("/alertCreationTime") {
            *created = json!(format!("{now:.7}"));
        }
        Ok(Self {
            machine_id: text(&alert, "/machineId").to_owned(),
            dns_name: text(&alert, "/computerDnsName").to_owned(),
            sha1: text(&alert, "/evidence/2/sha1").to_owned(),
            body: serde_json::to_vec(&alert)?,
        })
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn new_secret() -> SecretString {
    let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    format!("whsec_{}", STANDARD.encode(random)).into()
}

/// Starts a Defender with one device, on which the file was seen.
fn start_simulator(alert: &Alert, tasks: &mut JoinSet<()>) -> anyhow::Result<Simulator> {
    let machine = Machine {
        id: alert.machine_id.clone(),
        dns_name: alert.dns_name.clone(),
        files: vec![alert.sha1.clone()],
        ..Machine::default()
    };
    let world = World { machines: vec![machine], ..World::default() };
    let credentials = Credentials::new(TENANT, CLIENT, CLIENT_SECRET.to_owned().into());
    let mut state = new_state(Clock::system(), credentials, world);
    state.switches.in_progress_after_ms = 1_000;
    state.switches.done_after_ms = 3_000;
    let (simulator, server) = Simulator::bind(0, state).context("no loopback port is free")?;
    tasks.spawn(async move { drop(server.await) });
    Ok(simulator)
}

/// A running bridge and a caller of it.
struct Bridge {
    url: Url,
    http: Client,
    token: ApiToken,
    key: SigningKey,
    stop: watch::Sender<bool>,
}

async fn start_bridge(
    simulator: &Simulator,
    folder: &Path,
    key: SigningKey,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Bridge> {
    let config = config(simulator, folder, key.clone())?;
    let store = config.store.clone();
    let Service { address, server, dispatcher, .. } = assemble(config, Clock::system()).await?;
    let (stop, stopped) = watch::channel(false);
    tasks.spawn(dispatcher.run(stopped));
    tasks.spawn(async move { drop(server.await) });
    let now = Clock::system().now();
    let token = ApiToken::generate();
    let kept = NewToken {
        bound: None,
        id: token.id().to_owned(),
        name: "demo".to_owned(),
        scopes: vec![Scope::ActionsRead],
        secret_sha256: token.secret_sha256(),
        created_at: now,
        expires_at: after(now, SignedDuration::from_hours(1)),
    };
    add_token(&store, &kept, &operator())?;
    let url: Url = format!("http://{address}").parse()?;
    Ok(Bridge { http: Outgoing::new(&url).client()?, url, token, key, stop })
}

/// The configuration that `quarantine-bridge.toml` would give.
fn config(simulator: &Simulator, folder: &Path, key: SigningKey) -> anyhow::Result<Config> {
    let name: SourceName = "demo".parse()?;
    let built_in = BuiltIn::named("defender-alert").context("the format is built in")?;
    let source = Source {
        name: name.clone(),
        gate: Gate::standard_webhooks(vec![key])?,
        format: Arc::new(Format::load(built_in.name, built_in.code)?),
        quota: Quota::default(),
    };
    // Every guard is on as usual, but a person would have to approve the first actions of a new source.
    let policy = Policy::new(Mode::Enforce, Severity::Medium, SignedDuration::from_mins(60))
        .with_guards(|guards| guards.first_actions = 0);
    let mut dispatch = dispatch::Options::new(HashMap::from([(name, policy)]));
    dispatch.look_every = SignedDuration::from_millis(500);
    let url: Url = simulator.url().parse()?;
    Ok(Config {
        http: HttpOptions::new("127.0.0.1:0".parse()?, vec![source]),
        tls_files: None,
        store: StoreOptions { path: folder.join("bridge.db") },
        signal_file: None,
        retention: Retention::default(),
        checkpoints: None,
        file: Digest::START,
        defender: DefenderOptions {
            api_url: url.clone(),
            identity: Identity::App(AppRegistration {
                login_url: url,
                tenant_id: TENANT.to_owned(),
                client_id: CLIENT.to_owned(),
                proof: Proof::Secret(CLIENT_SECRET.to_owned().into()),
            }),
            scope: "https://api.securitycenter.microsoft.com/.default".to_owned(),
        },
        graph: None,
        callbacks: Vec::new(),
        traces: None,
        dispatch,
        log_format: LogFormat::Text,
        log_level: LevelFilter::OFF,
        warnings: Complaints::default(),
    })
}

impl Bridge {
    async fn post(&self, id: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
        let signed = sign::headers(&self.key, &id.parse()?, body);
        post(&self.http, &self.url.join("/v1/hooks/demo")?, signed).await
    }

    /// Sends the alert; returns the id of the action that it became.
    async fn send_alert(&self, alert: &Alert) -> anyhow::Result<String> {
        step("alert", &format!("file {} on {}", alert.sha1, alert.dns_name));
        step("signed", "webhook-id msg_demo_1, webhook-timestamp, webhook-signature v1 (HMAC-SHA256)");
        let answer = self.post("msg_demo_1", alert.body.clone()).await?;
        ensure!(answer.status == 202, "the bridge answered {}: {}", answer.status, answer.body);
        let body: Value = serde_json::from_str(&answer.body)?;
        let action = text(&body, "/alerts/0/actions/0/id").to_owned();
        step("accepted", &format!("HTTP 202, on disk as action {action}"));
        Ok(action)
    }

    /// Shows each change of the action as it happens; returns its record when it is over.
    async fn follow(&self, action: &str) -> anyhow::Result<Value> {
        let url = self.url.join(&format!("/v1/actions/{action}"))?;
        let mut shown = 1;
        loop {
            let request = self.http.get(url.clone()).bearer_auth(self.token.reveal());
            let body = request.send().await?.error_for_status()?.bytes().await?;
            let record: Value = serde_json::from_slice(&body)?;
            let history = record.pointer("/history").and_then(Value::as_array).cloned();
            for change in history.into_iter().flatten().skip(shown) {
                step(text(&change, "/to"), text(&change, "/why"));
                shown = shown.saturating_add(1);
            }
            if record.pointer("/final") == Some(&json!(true)) {
                return Ok(record);
            }
            time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The sender repeats itself, as senders do.
    async fn send_again(&self, alert: &Alert, action: &str) -> anyhow::Result<()> {
        let answer = self.post("msg_demo_1", alert.body.clone()).await?;
        let body: Value = serde_json::from_str(&answer.body)?;
        let is_same = text(&body, "/alerts/0/actions/0/id") == action;
        let is_duplicate = body.pointer("/duplicate") == Some(&json!(true));
        ensure!(answer.status == 200 && is_same && is_duplicate, "not recognised: {}", answer.body);
        step("sent again", "HTTP 200, duplicate: true, the same action");
        Ok(())
    }

    /// Somebody without the secret tries.
    async fn send_forged(&self, alert: &Alert) -> anyhow::Result<()> {
        let other = SigningKey::from_whsec(&new_secret(), None)?;
        let signed = sign::headers(&other, &"msg_demo_2".parse()?, alert.body.clone());
        let answer = post(&self.http, &self.url.join("/v1/hooks/demo")?, signed).await?;
        ensure!(answer.status == 401, "a forged alert was answered {}", answer.status);
        step("forged", "HTTP 401 for an alert signed with another secret");
        Ok(())
    }
}

fn show_what_defender_saw(simulator: &Simulator, alert: &Alert) -> anyhow::Result<()> {
    let calls = simulator.calls();
    let mut quarantines = calls.iter().filter(|call| call.path.ends_with("/StopAndQuarantineFile"));
    let call = quarantines.next().context("Defender saw no call")?;
    ensure!(quarantines.next().is_none(), "Defender saw more than one call");
    ensure!(text(&call.body, "/Sha1") == alert.sha1, "Defender saw another file");
    step("seen", &format!("{} {}\n            {}", call.method, call.path, call.body));
    Ok(())
}
