//! The kits under deploy/senders, each run as its tool runs it, against the real service.
//!
//! Needs python3, node, bash, openssl and curl: without one of them the tests fail and say so.

mod commands;
mod copies;
mod documents;
mod playbooks;
mod splunk;
mod templates;
mod thehive;
mod wazuh_qradar;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, io::Write as _};

use quarantine_bridge::clock::Clock;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::harness::binary::{Installation, Serving};
use crate::harness::{MACHINE, SHA1, WHSEC};

/// Where nobody listens: what the service would do at Defender is not the matter here.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A secret that no source knows.
const WRONG: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What the fourth try of a kit ends with at the latest; it waits 7 seconds without a Retry-After.
const BUSY_FOR_EVER: usize = usize::MAX;

/// A file of the kits.
fn kit(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/senders").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(kit(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read_json(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Starts a command for a tool that must be there, without the proxies of the machine.
fn tool(name: &str) -> Command {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
    assert!(found.status.success(), "these tests need {name}: install it, they are not left out without it");
    let mut command = Command::new(name);
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// What a script did.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Reads what it printed as JSON.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// Runs a command to its end beside the test's own tasks. The secrets may be neither in its arguments nor in what it
/// writes.
async fn run(command: Command, input: &str) -> Ran {
    let shown = format!("{command:?}");
    for secret in [WHSEC, WRONG, templates::TEXT_SECRET] {
        assert!(!shown.contains(secret), "a secret is in the arguments: {shown}");
    }
    run_with_secret_argument(command, input).await
}

/// The same for a tool whose own convention puts the secret into the arguments.
async fn run_with_secret_argument(mut command: Command, input: &str) -> Ran {
    let input = input.to_owned();
    let mut tasks = JoinSet::new();
    tasks.spawn_blocking(move || {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A script that ends before it has read all of it is judged by its exit code.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let ran = Ran::of(&tasks.join_next().await.unwrap().unwrap());
    for secret in [WHSEC, WRONG, &WHSEC["whsec_".len()..], templates::TEXT_SECRET] {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "a secret is in the output");
    }
    ran
}

/// The real service, with a source `soc` that takes the bridge form by Standard Webhooks.
struct Receiver {
    installation: Installation,
    token: String,
    client: Client,
    _serving: Serving,
}

impl Receiver {
    async fn start() -> Self {
        Self::with("", &[]).await
    }

    /// `more` is put at the end of the configuration; the files are secrets beside it.
    async fn with(more: &str, secrets: &[(&str, &str)]) -> Self {
        for _ in 0..5 {
            let installation = Installation::new(NOWHERE, more);
            for (name, secret) in secrets {
                installation.write_secret(name, secret);
            }
            installation.write_secret("wrong-secret", WRONG);
            let serving = installation.serve();
            installation.wait_until_ready().await;
            let token = installation.run(&["token", "create", "--name", "test", "--scope", "actions:read"]);
            let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
            let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
            let receiver = Self { installation, token, client, _serving: serving };
            // The port was free a moment ago; a test of another checkout may have been faster.
            if receiver.actions_status().await == 200 {
                return receiver;
            }
        }
        panic!("no port stays free long enough");
    }

    async fn actions_status(&self) -> u16 {
        let request = self.client.get(self.installation.url("/v1/actions")).bearer_auth(&self.token);
        request.send().await.map_or(0, |response| response.status().as_u16())
    }

    fn url(&self) -> String {
        self.installation.url("/v1/hooks/soc")
    }

    fn secret_file(&self) -> PathBuf {
        self.installation.path("soc-secret")
    }

    fn wrong_secret_file(&self) -> PathBuf {
        self.installation.path("wrong-secret")
    }

    /// Every action that the service has, the newest first.
    async fn actions(&self) -> Vec<Value> {
        let request = self.client.get(self.installation.url("/v1/actions")).bearer_auth(&self.token);
        let body = request.send().await.unwrap().text().await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        body["actions"].as_array().unwrap_or_else(|| panic!("{body}")).clone()
    }

    /// The service has one action, for the usual pair.
    async fn assert_one_action(&self) -> Value {
        let actions = self.actions().await;
        assert_eq!(actions.len(), 1, "{actions:?}");
        assert_pair(&actions[0], MACHINE, SHA1);
        actions[0].clone()
    }

    async fn assert_no_action(&self) {
        assert_eq!(self.actions().await.len(), 0);
    }

    /// Posts a body with headers that a test has taken from a kit; returns status and body.
    async fn post(&self, source: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let address = self.installation.url(&format!("/v1/hooks/{source}"));
        let mut request = self.client.post(address).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Something in front of the service that answers 503 to the first requests, and shows what came.
    async fn behind_busy(&self, refusals: usize) -> Front {
        Front::start(self.installation.port, refusals).await
    }
}

#[track_caller]
fn assert_pair(action: &Value, machine: &str, sha1: &str) {
    assert_eq!(action["machine"]["id"], machine, "{action}");
    assert_eq!(action["file"]["sha1"], sha1, "{action}");
}

/// An alert of the bridge form that has just happened.
fn alert(alert_id: &str) -> Value {
    let target = json!({"machine": {"id": MACHINE}, "file": {"sha1": SHA1, "name": "naïve.dll"}});
    json!({"alert_id": alert_id, "severity": "high", "title": "Dropper – ws-0147", "occurred_at": now(), "targets": [target]})
}

fn now() -> String {
    Clock::system().now().to_string()
}

/// Stands in front of a port on loopback.
struct Front {
    port: u16,
    seen: UnboundedReceiver<Seen>,
    _tasks: JoinSet<()>,
}

/// The head and body of a request.
#[derive(Debug, Clone)]
struct Seen {
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let wanted = |line: &&str| line.split(':').next().unwrap().eq_ignore_ascii_case(name);
        self.head.lines().skip(1).find(wanted).map(|line| line.split_once(':').unwrap().1.trim())
    }
}

impl Front {
    async fn start(to: u16, refusals: usize) -> Self {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        Self::answering(to, refusals, answer.to_owned()).await
    }

    /// Answers the first requests with a text, and hands on those after them.
    async fn answering(to: u16, count: usize, answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            for n in 0_usize.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some((bytes, request)) = read_request(&mut stream).await else { continue };
                // A test that has ended does not look any more.
                drop(sender.send(request));
                if n < count {
                    drop(stream.write_all(answer.as_bytes()).await);
                } else {
                    let mut service = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    service.write_all(&bytes).await.unwrap();
                    drop(copy_bidirectional(&mut stream, &mut service).await);
                }
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/hooks/soc", self.port)
    }

    /// What has come until now.
    fn requests(&mut self) -> Vec<Seen> {
        let mut requests = Vec::new();
        while let Ok(request) = self.seen.try_recv() {
            requests.push(request);
        }
        requests
    }
}

/// Reads one request with a Content-Length; returns its bytes as they came, and what they say.
async fn read_request(stream: &mut TcpStream) -> Option<(Vec<u8>, Seen)> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let seen = Seen { head, body: bytes[end + 4..].to_vec() };
            let length = seen.header("content-length").map_or(0, |text| text.parse().unwrap());
            if seen.body.len() >= length {
                return Some((bytes, seen));
            }
        }
        let mut more = [0; 8192];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    }
}

/// The tries of one delivery: the same bytes and the same id each time.
#[track_caller]
fn assert_same_delivery(requests: &[Seen]) {
    for request in requests {
        assert_eq!(request.body, requests[0].body);
        assert_eq!(request.header("webhook-id"), requests[0].header("webhook-id"));
        assert!(request.header("webhook-id").unwrap().starts_with("msg_"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}
