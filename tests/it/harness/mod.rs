//! A real bridge against a real simulator on loopback, with a clock that tests move.

mod action;
pub(crate) mod binary;
pub(crate) mod certificates;
pub(crate) mod contract;
pub(crate) mod installed;
mod invariants;
pub(crate) mod issuer;
pub(crate) mod receiver;
pub(crate) mod relay;
mod simulated;
pub(crate) mod wire;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{Alert, EntityPair, Mode, Severity, SourceName, Who, after};
use quarantine_bridge::audit::Digest;
use quarantine_bridge::callbacks::{Callback, Callbacks};
use quarantine_bridge::cli::{Live, Service, assemble};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::config::{Complaints, Config};
use quarantine_bridge::dispatch::resolve::Rules;
use quarantine_bridge::dispatch::{self, Dispatcher};
use quarantine_bridge::graph::AlertFetcher;
use quarantine_bridge::ingest::jwt::Jwt;
use quarantine_bridge::ingest::{Gate, RawDelivery, Scheme, sign, verify};
use quarantine_bridge::mapping::{BuiltIn, Format};
use quarantine_bridge::microsoft::AppRegistration;
use quarantine_bridge::policy::{Facts, Guard, Guards, Policy};
use quarantine_bridge::retention::Pruner;
use quarantine_bridge::simulator::Simulator;
use quarantine_bridge::store::{
    Accept, Bound, Deleted, NewToken, Options as StoreOptions, Receipt, Retention, Scope, Store, Weighed,
    add_token,
};
use quarantine_bridge::telemetry::{LogFormat, Metrics};
use quarantine_bridge::{defender, graph, http};
use reqwest::{Client, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;

pub(crate) use action::action;
pub(crate) use simulated::{
    CLIENT, MACHINE, SECRET, SHA1, TENANT, WHSEC, key, poll, simulate, take_device_offline,
};

/// What a test may want otherwise than usual.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) format: &'static str,
    pub(crate) min_severity: Severity,
    /// How the source's guards are set, if not as usual for tests.
    pub(crate) guards: fn(&mut Guards),
    pub(crate) calls_per_minute: u32,
    pub(crate) lookups_per_minute: u32,
    /// How the source's devices and files are found.
    pub(crate) rules: Rules,
    pub(crate) client_secret: &'static str,
    /// What the source must show.
    pub(crate) gate: fn() -> Gate,
    /// What its token must say, if it must show one of an issuer instead.
    pub(crate) jwt: Option<Jwt>,
    pub(crate) quota: http::Quota,
    /// Failed authentications are not limited unless a test wants them to be: all come from one address.
    pub(crate) limits: http::Limits,
    /// Whether alerts are fetched from Microsoft Graph.
    pub(crate) graph: bool,
    /// Where Defender's API is, if not at the simulator.
    pub(crate) api_url: Option<String>,
    pub(crate) retention: Retention,
    /// How far a second source, `playbooks`, may go, which asks for actions by the API; there is none if not said.
    pub(crate) playbooks: Option<Mode>,
    /// Whose tokens are taken at the API besides the bridge's own.
    pub(crate) principals: Option<http::Principals>,
    /// The key of one-time links, if there are any.
    pub(crate) link_key: Option<&'static str>,
    /// Who is told what became of actions.
    pub(crate) callbacks: Vec<Callback>,
    /// Where others reach the bridge.
    pub(crate) public_url: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            format: "bridge",
            min_severity: Severity::Low,
            guards: |_| {},
            calls_per_minute: 100,
            lookups_per_minute: 100,
            rules: Rules::default(),
            client_secret: SECRET,
            gate: || Gate::standard_webhooks(vec![key()]).unwrap(),
            jwt: None,
            quota: http::Quota { rate: http::Rate::per_minute(1_000_000, 1_000_000), retries_429: false },
            limits: http::Limits {
                failures: http::Rate::per_minute(1_000_000, 1_000_000),
                ..http::Limits::default()
            },
            graph: false,
            api_url: None,
            retention: Retention::default(),
            playbooks: None,
            principals: None,
            link_key: None,
            callbacks: Vec::new(),
            public_url: None,
        }
    }
}

/// An answer of the bridge.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

/// A running bridge.
pub(crate) struct Bridge {
    pub(crate) clock: Clock,
    pub(crate) simulator: Simulator,
    pub(crate) metrics: Metrics,
    pub(crate) folder: TempDir,
    store: Store,
    address: SocketAddr,
    dispatcher: Option<Dispatcher>,
    live: Live,
    alert_fetcher: Option<AlertFetcher>,
    pruner: Option<Pruner>,
    callbacks: Option<Callbacks>,
    server: ServerHandle,
    /// Ends streams and waits.
    stopping: watch::Sender<bool>,
    /// The keys of issuers are fetched for as long as it is there.
    fetching: watch::Sender<bool>,
    client: Client,
    token: String,
    setup: Setup,
    /// Calls that the database does not know, because it was restored or pruned.
    lost_calls: usize,
    tasks: JoinSet<()>,
}

/// The moment at which tests begin.
pub(crate) fn start_of_time() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

impl Bridge {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let clock = Clock::manual(start_of_time());
        let (simulator, tasks) = simulate(clock.clone());
        let folder = tempfile::tempdir().unwrap();
        Box::pin(Self::assemble(setup, clock, simulator, folder, tasks)).await
    }

    async fn assemble(
        setup: Setup,
        clock: Clock,
        simulator: Simulator,
        folder: TempDir,
        mut tasks: JoinSet<()>,
    ) -> Self {
        let config = config(&setup, &simulator, &folder);
        let store_options = config.store.clone();
        let Service {
            address,
            server,
            dispatcher,
            key_fetcher,
            alert_fetcher,
            pruner,
            switch_watch,
            callbacks,
            stopping,
            metrics,
            store,
            live,
            ..
        } = assemble(config, clock.clone()).await.unwrap();
        let handle = server.handle();
        let (fetching, stopped) = watch::channel(false);
        tasks.spawn(key_fetcher.run(stopped.clone()));
        tasks.spawn(switch_watch.run(stopped));
        tasks.spawn(async move { server.await.unwrap() });
        let token = token(&store_options, &clock, "test", &[Scope::ActionsRead, Scope::Metrics], None);
        Self {
            clock,
            simulator,
            metrics,
            folder,
            store,
            address,
            dispatcher: Some(dispatcher),
            live,
            alert_fetcher: Some(alert_fetcher),
            pruner: Some(pruner),
            callbacks: Some(callbacks),
            server: handle,
            stopping,
            fetching,
            client: Client::builder().no_proxy().build().unwrap(),
            token,
            setup,
            lost_calls: 0,
            tasks,
        }
    }

    /// Has the server stop as `serve` does: what is under way comes to its end.
    pub(crate) async fn stop_server(&self) {
        self.stopping.send_replace(true);
        self.server.stop(true).await;
    }

    /// Stops the service between two steps and starts it again on the same database.
    pub(crate) async fn restart(self) -> Self {
        Box::pin(self.restart_on(|folder| folder)).await
    }

    /// Stops the service and starts it again with another set-up.
    pub(crate) async fn restart_with(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self.restart().await
    }

    /// Stops the service and starts it again from a backup.
    pub(crate) async fn restore(self, backup: &Path) -> Self {
        let lost_calls = self.quarantines().len();
        // A folder of its own: what this process still has open of the old database would be in the way.
        let folder = tempfile::tempdir().unwrap();
        fs::copy(backup, folder.path().join("bridge.db")).unwrap();
        let mut restored = Box::pin(self.restart_on(|_| folder)).await;
        restored.lost_calls = lost_calls;
        restored
    }

    async fn restart_on(mut self, folder: impl FnOnce(TempDir) -> TempDir) -> Self {
        self.dispatcher = None;
        self.alert_fetcher = None;
        self.pruner = None;
        self.callbacks = None;
        self.server.stop(false).await;
        let clock = self.clock.clone();
        let simulator = self.simulator.clone();
        let setup = self.setup.clone();
        let lost_calls = self.lost_calls;
        let old = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let tasks = std::mem::take(&mut self.tasks);
        drop(self);
        wait_until_unlocked(&old.path().join("bridge.db")).await;
        let mut restarted = Self::assemble(setup, clock, simulator, folder(old), tasks).await;
        restarted.lost_calls = lost_calls;
        restarted
    }

    /// Gives the running service another configuration.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        let mut config = config(&self.setup, &self.simulator, &self.folder);
        change(&mut config);
        self.live.apply(config).unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("bridge.db")
    }

    /// Another token, for other scopes.
    pub(crate) fn new_token(&self, scopes: &[Scope]) -> String {
        self.token_of("test", scopes)
    }

    /// A token of this name.
    pub(crate) fn token_of(&self, name: &str, scopes: &[Scope]) -> String {
        token(&StoreOptions { path: self.database() }, &self.clock, name, scopes, None)
    }

    /// A token of this name that may ask for actions of the source `playbooks`, in this mode at most.
    pub(crate) fn requester(&self, name: &str, mode: Option<Mode>) -> String {
        let store = StoreOptions { path: self.database() };
        token(&store, &self.clock, name, &[Scope::ActionsWrite], mode)
    }

    /// Posts a signed body to the source.
    pub(crate) async fn post(&self, id: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.send(self.signed(id, body.into())).await
    }

    /// A signed request, to be spoiled before it is sent.
    pub(crate) fn signed(&self, id: &str, body: Vec<u8>) -> RequestBuilder {
        let now = self.clock.now();
        let signature = sign(&key(), &id.parse().unwrap(), now, &body);
        self.request("/v1/hooks/soc")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.as_second().to_string())
            .header("webhook-signature", signature)
            .body(body)
    }

    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).header("content-type", "application/json")
    }

    /// Sends a request, and holds its answer to openapi.yaml.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = self.client.execute(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()));
        let headers = headers.collect();
        let is_stream = response.headers().get("content-type").is_some_and(|it| it == "text/event-stream");
        let text = if is_stream { begin(response).await } else { response.text().await.unwrap() };
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let answer = Answer { status, headers, body };
        contract::check(&method, &path, &answer);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(path, &self.token.clone()).await
    }

    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Answer {
        self.send(self.client.get(self.url(path)).bearer_auth(token)).await
    }

    /// Posts to the API with a token.
    pub(crate) async fn post_as(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(self.request(path).bearer_auth(token).body(body.to_string())).await
    }

    pub(crate) async fn get_openly(&self, path: &str) -> Answer {
        self.send(self.client.get(self.url(path))).await
    }

    /// Posts one alert about one pair; returns the id of its action.
    pub(crate) async fn accept(&self, alert_id: &str, machine: &str, sha1: &str) -> String {
        let answer = self.post(&format!("msg_{alert_id}"), self.alert(alert_id, machine, sha1)).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Accepts an alert that has just happened about these pairs, as a format would have read them.
    pub(crate) async fn accept_pairs(&self, alert_id: &str, targets: Vec<EntityPair>) -> Vec<String> {
        self.accept_alert(Alert {
            alert_id: alert_id.parse().unwrap(),
            severity: Some(Severity::High),
            title: "test".to_owned(),
            occurred_at: Some(self.clock.now()),
            url: None,
            targets,
        })
        .await
    }

    pub(crate) async fn accept_alert(&self, alert: Alert) -> Vec<String> {
        let id = format!("msg_{}", alert.alert_id);
        let (now, body) = (self.clock.now(), bytes::Bytes::from(id.clone()));
        let signature = sign(&key(), &id.parse().unwrap(), now, &body);
        let seconds = now.as_second().to_string();
        let headers =
            [("webhook-id", &id), ("webhook-timestamp", &seconds), ("webhook-signature", &signature)];
        let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes())).collect();
        let gate = Gate::standard_webhooks(vec![key()]).unwrap();
        let raw = RawDelivery { headers, body, ..RawDelivery::default() };
        let delivery = verify(&"soc".parse().unwrap(), &gate, &raw, now).unwrap();
        let accept = Accept {
            delivery,
            alerts: vec![alert],
            refused: Vec::new(),
            references: Vec::new(),
            notices: Vec::new(),
            now,
        };
        let Receipt::New(accepted) = self.store.accept(accept).await.unwrap() else {
            panic!("the alert is not new");
        };
        accepted.alerts[0].actions.iter().map(|action| action.id.to_string()).collect()
    }

    /// An alert in our own form that has just happened.
    pub(crate) fn alert(&self, alert_id: &str, machine: &str, sha1: &str) -> Vec<u8> {
        let now = self.clock.now().to_string();
        let target = json!({"machine": {"id": machine}, "file": {"sha1": sha1}});
        let alert = json!({"alert_id": alert_id, "severity": "high", "title": "test", "occurred_at": now, "targets": [target]});
        alert.to_string().into_bytes()
    }

    /// Lets the fetching of alerts do all that can be done at this moment of the clock.
    pub(crate) async fn fetch(&mut self) {
        self.alert_fetcher.as_mut().unwrap().drain().await.unwrap();
    }

    /// Lets callbacks be told all that can be told at this moment of the clock.
    pub(crate) async fn tell(&mut self) {
        self.callbacks.as_mut().unwrap().drain().await.unwrap();
    }

    /// Has callbacks told beside the test, as the service does.
    pub(crate) fn keep_telling(&mut self) {
        let stopped = self.fetching.subscribe();
        self.tasks.spawn(self.callbacks.take().unwrap().run(stopped));
    }

    /// Deletes what is too old by now. Each walk follows the clock by a day.
    pub(crate) async fn prune(&mut self) -> Deleted {
        let now = self.clock.now().as_millisecond();
        let db = rusqlite::Connection::open(self.database()).unwrap();
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or_default();
        let mut sum = Deleted::default();
        loop {
            sum = sum.plus(self.pruner.as_mut().unwrap().walk().await.unwrap());
            if number("SELECT value FROM marks WHERE name = 'pruned_to'") >= now {
                break;
            }
        }
        let intents = usize::try_from(number("SELECT count(*) FROM attempts")).unwrap();
        self.lost_calls = self.quarantines().len().saturating_sub(intents);
        sum
    }

    /// Lets dispatch do all that can be done at this moment of the clock.
    pub(crate) async fn drain(&mut self) {
        self.dispatcher.as_mut().unwrap().drain().await.unwrap();
    }

    /// Moves the clock and lets dispatch work, step by step.
    pub(crate) async fn run_for(&mut self, time: SignedDuration) {
        let step = SignedDuration::from_secs(5);
        let end = after(self.clock.now(), time);
        self.drain().await;
        while self.clock.now() < end {
            self.clock.advance(step);
            self.drain().await;
        }
    }

    /// The record of an action.
    pub(crate) async fn action(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/actions/{id}")).await;
        assert_eq!(answer.status, 200);
        answer.body
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        self.action(id).await["state"].as_str().unwrap().to_owned()
    }

    /// The quarantine calls that Defender saw.
    pub(crate) fn quarantines(&self) -> Vec<Value> {
        let calls = self.simulator.calls();
        let quarantines = calls.iter().filter(|call| call.path.ends_with("/StopAndQuarantineFile"));
        quarantines.map(|call| json!({"path": call.path, "body": call.body, "status": call.status})).collect()
    }

    /// The cancel calls that Defender saw.
    pub(crate) fn cancels(&self) -> Vec<Value> {
        let calls = self.simulator.calls();
        let cancels = calls.iter().filter(|call| call.path.ends_with("/cancel"));
        cancels.map(|call| json!({"path": call.path, "body": call.body, "status": call.status})).collect()
    }

    /// The value of a metric's line, if it is there.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.render();
        let found = text.lines().find_map(|have| have.strip_prefix(line)?.strip_prefix(' '));
        found.and_then(|value| value.parse().ok())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // One that restarts has given up its dispatcher and its folder; it is checked when it ends for good.
        let ends = self.dispatcher.is_some();
        if ends && !std::thread::panicking() {
            invariants::check(self);
        }
    }
}

/// The beginning of an answer that has no end.
async fn begin(mut response: reqwest::Response) -> String {
    String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap()
}

fn config(setup: &Setup, simulator: &Simulator, folder: &TempDir) -> Config {
    let name: SourceName = "soc".parse().unwrap();
    let built_in = BuiltIn::named(setup.format).unwrap();
    let source = http::Source {
        name: name.clone(),
        gate: match &setup.jwt {
            None => (setup.gate)(),
            Some(jwt) => Gate::new(Scheme::Jwt(Box::new(jwt.clone())), Vec::new(), Vec::new()),
        },
        format: Arc::new(Format::load(built_in.name, built_in.code).unwrap()),
        quota: setup.quota,
    };
    let policy = Policy::new(setup.mode, setup.min_severity, SignedDuration::from_mins(60))
        .with_guards(usual_guards)
        .with_guards(setup.guards);
    let mut sources = vec![source];
    let mut policies = HashMap::from([(name, policy.clone())]);
    if let Some(mode) = setup.playbooks {
        let playbooks = playbooks(setup);
        policies.insert(playbooks.name.clone(), Policy { source_mode: mode, ..policy });
        sources.push(playbooks);
    }
    let mut dispatch = dispatch::Options::new(policies);
    dispatch.calls_per_minute = setup.calls_per_minute;
    dispatch.lookups_per_minute = setup.lookups_per_minute;
    dispatch.rules.values_mut().for_each(|rules| *rules = setup.rules);
    let app = AppRegistration {
        login_url: simulator.url().parse().unwrap(),
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: SecretString::from(setup.client_secret),
    };
    // Links are made under it.
    let public_url = setup.public_url.or(setup.link_key.map(|_| "https://bridge.example.com"));
    Config {
        http: http::Options {
            limits: setup.limits,
            principals: setup.principals.clone(),
            link_key: setup.link_key.and_then(|key| http::LinkKey::new(key.into())),
            public_url: public_url.map(|url| url.parse().unwrap()),
            ..http::Options::new("127.0.0.1:0".parse().unwrap(), sources)
        },
        tls_files: None,
        store: StoreOptions { path: folder.path().join("bridge.db") },
        signal_file: Some(folder.path().join("stop")),
        retention: setup.retention,
        checkpoints: None,
        file: Digest::START,
        defender: defender::Options {
            api_url: setup.api_url.clone().unwrap_or(simulator.url()).parse().unwrap(),
            app: app.clone(),
            scope: "https://api.securitycenter.microsoft.com/.default".to_owned(),
        },
        graph: setup.graph.then(|| graph::Options {
            api_url: simulator.url().parse().unwrap(),
            app,
            scope: "https://graph.microsoft.com/.default".to_owned(),
        }),
        dispatch,
        callbacks: setup.callbacks.clone(),
        log_format: LogFormat::Text,
        log_level: LevelFilter::OFF,
        warnings: Complaints::default(),
    }
}

/// The source whose callers ask by the API.
fn playbooks(setup: &Setup) -> http::Source {
    let built_in = BuiltIn::named("bridge").unwrap();
    http::Source {
        name: "playbooks".parse().unwrap(),
        gate: Gate::new(Scheme::ApiTokens, Vec::new(), Vec::new()),
        format: Arc::new(Format::load(built_in.name, built_in.code).unwrap()),
        quota: setup.quota,
    }
}

/// Every guard is on as by default, but tests send more, and sooner, than a new source may.
fn usual_guards(guards: &mut Guards) {
    guards.first_actions = 0;
    guards.limits = Arc::default();
}

/// Switches every guard off that can be.
pub(crate) fn all_off(guards: &mut Guards) {
    Guard::switchable().for_each(|guard| guards.set(guard, None));
}

/// What an intent is weighed by, for tests of the store alone: no guard but severity and age.
pub(crate) fn weighed(mode: Mode) -> Weighed {
    let policy = Policy::new(mode, Severity::Low, SignedDuration::from_mins(60)).with_guards(all_off);
    Weighed { policy, facts: Facts::default(), steady: start_of_time() }
}

/// Guards for tests that count look-ups, or in which Defender cannot be asked: none looks at what Defender would say.
pub(crate) fn without_facts(guards: &mut Guards) {
    for guard in [
        Guard::Os,
        Guard::DeviceState,
        Guard::ProtectedDevice,
        Guard::MicrosoftSigned,
        Guard::Determination,
        Guard::Prevalence,
        Guard::SeenOnDevice,
    ] {
        guards.set(guard, None);
    }
}

fn token(store: &StoreOptions, clock: &Clock, name: &str, scopes: &[Scope], mode: Option<Mode>) -> String {
    let token = http::ApiToken::generate();
    let now = clock.now();
    let kept = NewToken {
        id: token.id().to_owned(),
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        bound: scopes
            .contains(&Scope::ActionsWrite)
            .then(|| Bound { source: "playbooks".parse().unwrap(), mode }),
        secret_sha256: token.secret_sha256(),
        created_at: now,
        expires_at: after(now, SignedDuration::from_hours(24 * 365)),
    };
    add_token(store, &kept, &Who::Operator("test".to_owned())).unwrap();
    token.reveal()
}

/// The writer thread lets go of the database when the last request has let go of its handle.
pub(crate) async fn wait_until_unlocked(database: &Path) {
    let lock = fs::File::open(database.with_file_name("bridge.db.lock")).unwrap();
    poll("the database to be free", || lock.try_lock().is_ok()).await;
}
