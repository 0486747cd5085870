//! How long from `POST /v1/actions` until the quarantine call arrives at Defender, when nothing else waits.
//!
//! `cargo bench --bench playbook`, on Linux. The durable writes are included: the action's, the decision's and the intent's. Defender is
//! the simulator, whose log says when a call came; one clock serves both. Fails above what is promised.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on stops"
)]

#[expect(dead_code, reason = "other benchmarks use more of it")]
mod load;
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod service;

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

const ACTIONS: usize = 500;
const PROMISED: Duration = Duration::from_millis(20);
/// Longer than an action takes to be sent, so that the queue is empty for the next.
const PAUSE: Duration = Duration::from_millis(60);
const BINARY: &str = env!("CARGO_BIN_EXE_quarantine-bridge");

/// The guards that ask Defender about the device or the file.
const ASKING: [&str; 7] = [
    "os",
    "device_state",
    "protected_device",
    "microsoft_signed",
    "trusted_publisher",
    "determination",
    "prevalence",
];

fn main() -> ExitCode {
    println!("{ACTIONS} actions, one at a time, from the request to the call's arrival");
    let without = measure("no guard asks Defender", &guards_off(), warm_nothing);
    let warm = measure("all guards, facts known", "", warm_facts);
    println!("promised                    {PROMISED:?} at p99, with either");
    if without.max(warm) < PROMISED { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn guards_off() -> String {
    let off = ASKING.into_iter().chain(["seen_on_device"]).map(|guard| format!("{guard} = \"off\"\n"));
    format!("[policy.guards]\n{}", off.collect::<String>())
}

/// Runs a service and a simulator; returns the time within which 99 of 100 calls arrived.
fn measure(name: &str, guards: &str, prepare: fn(&Bridge, usize)) -> Duration {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let bridge = Bridge::start(folder.path(), guards);
    let mut asked = HashMap::new();
    for n in 0..ACTIONS {
        prepare(&bridge, n);
        asked.insert(machine(n), Timestamp::now());
        bridge.ask(n, &format!("measured-{n}"), "enforce");
        std::thread::sleep(PAUSE);
    }
    let calls = bridge.calls();
    bridge.stop();
    assert_eq!(calls.len(), ACTIONS, "every action is sent, once");
    let mut times: Vec<Duration> =
        calls.into_iter().map(|(id, at)| at.duration_since(asked[&id]).unsigned_abs()).collect();
    times.sort_unstable();
    let part = |percent: usize| times[times.len() * percent / 100];
    println!("{name:<27} p50 {:?}, p99 {:?}, longest {:?}", part(50), part(99), times[times.len() - 1]);
    part(99)
}

fn warm_nothing(_: &Bridge, _: usize) {}

/// An action in mode shadow asks for the same facts, and sends nothing.
fn warm_facts(bridge: &Bridge, n: usize) {
    bridge.ask(n, &format!("warming-{n}"), "shadow");
    std::thread::sleep(PAUSE);
}

fn machine(n: usize) -> String {
    format!("{:040x}", n + 0x1000)
}

/// A running service with its simulator.
struct Bridge {
    service: Child,
    simulator: Child,
    address: SocketAddr,
    defender: SocketAddr,
    token: String,
}

impl Bridge {
    fn start(folder: &Path, guards: &str) -> Self {
        let (address, defender) = (service::free_address(), service::free_address());
        service::configure(folder, address);
        fs::write(folder.join("defender-secret"), "simulated-secret").unwrap();
        fs::write(folder.join("quarantine-bridge.toml"), config(address, defender, guards)).unwrap();
        let switches = json!({"per_minute": 1_000_000, "per_hour": 1_000_000, "done_after_ms": 3_600_000});
        fs::write(folder.join("switches.json"), switches.to_string()).unwrap();
        let simulator = Command::new(BINARY)
            .args(["simulate", "--switches", "switches.json", "--port", &defender.port().to_string()])
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(defender).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let service = service::start(folder, address);
        let scope =
            ["token", "create", "--name", "bench", "--scope", "actions:write", "--source", "playbooks"];
        let made = Command::new(BINARY).args(scope).current_dir(folder).output().unwrap();
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let bridge = Self { service, simulator, address, defender, token };
        // The first look at Defender's list and the first token are not of an empty queue.
        bridge.ask(0x10_0000, "first", "enforce");
        std::thread::sleep(Duration::from_secs(3));
        bridge
    }

    fn ask(&self, n: usize, alert_id: &str, mode: &str) {
        let asked = json!({
            "alert_id": alert_id, "severity": "high", "occurred_at": Timestamp::now().to_string(), "mode": mode,
            "machine": {"id": machine(n)}, "file": {"sha1": format!("{:040x}", n + 0x2000)},
        });
        let body = asked.to_string();
        let head = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token);
        let answer = call(self.address, "POST", "/v1/actions", &head, &body);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    /// Which device each measured call was for, and when it came.
    fn calls(&self) -> Vec<(String, Timestamp)> {
        let answer = call(self.defender, "GET", "/simulator/calls", "", "");
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let calls = body["calls"].as_array().unwrap().iter().filter_map(|call| {
            let id = call["path"]
                .as_str()?
                .strip_prefix("/api/machines/")?
                .strip_suffix("/StopAndQuarantineFile")?;
            Some((id.to_owned(), call["at"].as_str()?.parse().unwrap()))
        });
        calls.filter(|(id, _)| *id != machine(0x10_0000)).collect()
    }

    fn stop(mut self) {
        service::stop(&mut self.service);
        self.simulator.kill().unwrap();
        self.simulator.wait().unwrap();
    }
}

fn config(address: SocketAddr, defender: SocketAddr, guards: &str) -> String {
    format!(
        r#"
[server]
listen = "{address}"
[store]
path = "bridge.db"
[defender]
tenant_id = "00000000-0000-4000-8000-000000000001"
client_id = "00000000-0000-4000-8000-000000000002"
client_secret = {{ file = "defender-secret" }}
api_url = "http://{defender}"
login_url = "http://{defender}"
allow_custom_endpoint = true
[budget]
calls_per_minute = 1000000
calls_per_hour = 1000000
lookups_per_minute = 1000000
lookups_per_hour = 1000000
[policy]
first_actions = 0
blast_radius = []
{guards}
[sources.playbooks]
mode = "enforce"
accept_unsigned = true
enforce_unsigned = "I accept the risk"
quota = {{ deliveries_per_minute = 1000000, burst = 1000000 }}
[sources.playbooks.auth]
scheme = "api"
"#
    )
}

/// Makes one request over a connection of its own; returns the answer.
fn call(address: SocketAddr, method: &str, path: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
