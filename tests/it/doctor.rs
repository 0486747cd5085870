//! `doctor`: an installation that is well, each fault that it is there to find, and that looking does nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use quarantine_bridge::clock::Clock;
use quarantine_bridge::simulator::{Fault, FaultKind, Place, Simulator};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::binary::{Installation, set_mode};
use crate::harness::certificates::Authority;
use crate::harness::{SECRET, WHSEC, simulate};

const NOWHERE: &str = "http://127.0.0.1:9";

/// Every word by which something that is looked at is known.
const CHECKS: [&str; 13] = [
    "config", "files", "database", "disk", "service", "network", "clock", "token", "roles", "list",
    "sources", "budget", "sending",
];

/// What was found: exit code, and the findings.
struct Looked {
    code: i32,
    findings: Vec<Value>,
}

impl Looked {
    /// The findings of one check with one verdict, each with what is to be done.
    fn texts(&self, check: &str, verdict: &str) -> String {
        let fits = |it: &&Value| it["check"] == check && it["verdict"] == verdict;
        let text = |it: &Value| {
            format!("{}; {}", it["what"].as_str().unwrap(), it["next"].as_str().unwrap_or_default())
        };
        self.findings.iter().filter(fits).map(text).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn says(&self, check: &str, verdict: &str, words: &[&str]) {
        let text = self.texts(check, verdict);
        assert!(!text.is_empty(), "{check} is not {verdict}: {:#?}", self.findings);
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert_eq!(self.code, i32::from(self.findings.iter().any(|it| it["verdict"] == "wrong")));
    }
}

/// Runs the command in both forms; neither tells a secret. The simulator needs another thread meanwhile.
fn doctor(installation: &Installation) -> Looked {
    let (code, json, _) = installation.told(&["doctor", "--json"]);
    let (text_code, text, said) = installation.told(&["doctor"]);
    assert_eq!(code, text_code, "{json}\n{text}");
    for told in [&json, &text, &said] {
        assert!(!told.contains(SECRET) && !told.contains(WHSEC), "a secret is told: {told}");
    }
    let all: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all["well"], code == 0);
    let findings = all["findings"].as_array().unwrap().clone();
    for finding in &findings {
        assert!(!finding["why"].as_str().unwrap().is_empty());
        assert!(finding["verdict"] == "well" || !finding["next"].as_str().unwrap().is_empty(), "{finding}");
        // Times are others in another run.
        let is_timed = ["disk", "clock"].iter().any(|check| finding["check"] == *check);
        assert!(is_timed || text.contains(finding["what"].as_str().unwrap()), "{finding} is not in: {text}");
    }
    Looked { code, findings }
}

fn installation() -> (Installation, Simulator, JoinSet<()>) {
    let (simulator, tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    set_mode(installation.folder.path(), 0o700);
    (installation, simulator, tasks)
}

/// A server that answers everything with 200 and this date.
fn answering(date: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            // One that only looks whether somebody listens says nothing.
            if stream.read(&mut head).is_ok_and(|bytes| bytes > 0) {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
                );
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_is_well_is_called_so_with_and_without_its_service() {
    let (installation, simulator, _tasks) = installation();
    let before = doctor(&installation);
    before.says("database", "note", &["is not there yet"]);
    before.says("service", "note", &["nobody listens"]);
    assert_eq!(before.code, 0);
    assert!(!installation.path("bridge.db").exists(), "the doctor makes no database");

    let serving = installation.serve();
    installation.wait_until_ready().await;
    let beside = doctor(&installation);
    beside.says("service", "well", &["takes deliveries"]);
    for check in CHECKS {
        assert!(beside.findings.iter().any(|it| it["check"] == check), "{check} is not looked at");
    }
    assert_eq!(beside.code, 0, "{:#?}", beside.findings);
    beside.says("sources", "note", &["soc has never brought an action"]);
    beside.says("roles", "well", &["Machine.StopAndQuarantine, Machine.Read.All, File.Read.All"]);
    beside.says("list", "well", &[]);
    beside.says("clock", "well", &["0 s"]);
    assert_eq!(serving.terminate().await, Some(0));

    let after = doctor(&installation);
    assert_eq!(after.code, 0, "{:#?}", after.findings);
    // Nothing was done: no call but reads and tokens, and nothing is left beside the database.
    for call in simulator.calls() {
        assert!(call.method == "GET" || call.path.ends_with("/oauth2/v2.0/token"), "{call:?}");
    }
    let left = fs::read_dir(installation.folder.path()).unwrap().map(|it| it.unwrap().file_name());
    let left: Vec<_> =
        left.map(|name| name.into_string().unwrap()).filter(|it| it.contains("doctor")).collect();
    assert_eq!(left, Vec::<String>::new());
    let serving = installation.serve();
    installation.wait_until_ready().await;
    assert_eq!(serving.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_configuration_is_told_and_all_else_that_can_be_looked_at() {
    let (installation, _simulator, _tasks) = installation();
    set_mode(&installation.path("soc-secret"), 0o644);
    let looked = doctor(&installation);
    looked.says("config", "wrong", &["open to everybody", "chmod o-rwx"]);
    looked.says("token", "note", &["no token was asked for"]);
    looked.says("network", "well", &["Defender answers"]);
    // A disk that is slow just now is noted.
    let disk = looked.texts("disk", "well") + &looked.texts("disk", "note");
    assert!(disk.contains("forced write"), "{disk}");

    installation.edit("mode = \"enforce\"", "mode = \"loud\"");
    let looked = doctor(&installation);
    looked.says("config", "wrong", &["quarantine-bridge.toml:18: sources.soc.mode"]);
    assert_eq!(looked.texts("network", "well"), "", "nobody knows whom to ask");
    assert_eq!(installation.told(&["doctor", "--loud"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_others_may_read_or_change_are_told() {
    let (installation, _simulator, _tasks) = installation();
    for (name, mode, words) in
        [("soc-secret", 0o660, "chmod g-w,o-rwx"), ("quarantine-bridge.toml", 0o666, "chmod o-w")]
    {
        let before = fs::metadata(installation.path(name)).unwrap().permissions().mode() & 0o777;
        set_mode(&installation.path(name), mode);
        doctor(&installation).says("files", "wrong", &[name, words]);
        set_mode(&installation.path(name), before);
    }
    installation.write("bridge.db", "");
    set_mode(&installation.path("bridge.db"), 0o644);
    doctor(&installation).says("files", "well", &[]);
    set_mode(installation.folder.path(), 0o755);
    doctor(&installation).says("files", "wrong", &["bridge.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_work_is_told() {
    let (installation, _simulator, _tasks) = installation();
    installation
        .write("bridge.db", "this is no database, but somebody's letter to somebody else, and a long one");
    doctor(&installation).says("database", "wrong", &["is not a database of quarantine-bridge"]);
    installation.edit("path = \"bridge.db\"", "path = \"nowhere/bridge.db\"");
    doctor(&installation).says("disk", "wrong", &["cannot be written"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_missing_roles_are_told_with_what_to_do() {
    let (installation, simulator, _tasks) = installation();
    let with_roles = |roles: &[&str]| {
        let roles = roles.iter().map(ToString::to_string).collect();
        simulator.with(|state| state.switches.roles = roles);
        doctor(&installation)
    };
    let neither = with_roles(&[]);
    neither.says("roles", "wrong", &["Machine.StopAndQuarantine", "Machine.Read.All", "admin consent"]);
    with_roles(&["Machine.Read.All"]).says("roles", "wrong", &["Machine.StopAndQuarantine"]);
    let no_files = with_roles(&["Machine.StopAndQuarantine", "Machine.Read.All"]);
    no_files.says("roles", "wrong", &["File.Read.All", "soc"]);
    let too_many =
        with_roles(&["Machine.StopAndQuarantine", "Machine.Read.All", "File.Read.All", "Machine.Isolate"]);
    too_many.says("roles", "note", &["allows more than is used: Machine.Isolate"]);
    assert_eq!(too_many.code, 0);

    installation.write_secret("defender-secret", "another-secret");
    doctor(&installation).says("token", "wrong", &["AADSTS7000215"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_read_is_told() {
    let (installation, simulator, _tasks) = installation();
    for (kind, words) in [
        (FaultKind::Forbidden2023, "Machine.Read.All"),
        (FaultKind::Status { status: 503 }, "status.cloud.microsoft"),
    ] {
        let fault = Fault { place: Place::MachineActions, kind, times: None };
        simulator.with(|state| {
            state.faults.clear();
            state.faults.push(fault);
        });
        doctor(&installation).says("list", "wrong", &[words]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_reached_is_named_with_what_may_be_in_between() {
    let installation = Installation::new(NOWHERE, "");
    let looked = doctor(&installation);
    looked.says("network", "wrong", &["Entra ID is not reached", "Defender is not reached", "firewall"]);
    looked.says("token", "wrong", &["there is no token"]);

    let installation = Installation::new("https://no-such-host.invalid", "");
    doctor(&installation).says("network", "wrong", &["the name is not found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_told_with_how_far() {
    let installation = Installation::new(&answering("Mon, 01 Jan 2024 00:00:00 GMT"), "");
    doctor(&installation).says("clock", "wrong", &["s ahead of that of Entra ID", "NTP"]);
    let installation = Installation::new(&answering("Tue, 01 Jan 2199 00:00:00 GMT"), "");
    doctor(&installation).says("clock", "wrong", &["s behind that of Defender"]);
    let installation = Installation::new(&answering("some day"), "");
    assert_eq!(doctor(&installation).texts("clock", "wrong"), "", "nobody knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_on_the_port_and_a_kill_switch_that_is_on_are_told() {
    let (installation, _simulator, _tasks) = installation();
    let other = answering("Mon, 01 Jan 2024 00:00:00 GMT");
    let listen = format!("127.0.0.1:{}", installation.port);
    installation.edit(&listen, other.trim_start_matches("http://"));
    let serving = doctor(&installation);
    serving.says("service", "wrong", &["is not ready (HTTP 200): no answer of ours"]);
    installation.edit(other.trim_start_matches("http://"), &listen);
    installation.told(&["token", "create", "--name", "t", "--scope", "metrics"]);
    let (code, ..) = installation.told(&["kill-switch", "on", "--reason", "a drill"]);
    assert_eq!(code, 0);
    let looked = doctor(&installation);
    looked.says("sending", "note", &["the kill switch is on"]);
    assert_eq!(looked.code, 0, "it may be meant so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_is_told() {
    let (installation, _simulator, _tasks) = installation();
    let config = fs::read_to_string(installation.config()).unwrap();
    let tls = "[server.tls]\ncertificate = \"chain.pem\"\nkey = { file = \"key.pem\" }\n";
    installation.write("quarantine-bridge.toml", &format!("{config}{tls}"));
    let authority = Authority::new("test");
    for (year, verdict, words) in [(2020, "wrong", "ended 2020-01-01"), (4000, "well", "ends 4000-01-01")] {
        let pair = authority.certify_until(Vec::new(), year);
        installation.write("chain.pem", &pair.certificate);
        installation.write_secret("key.pem", &pair.key);
        doctor(&installation).says("certificate", verdict, &[words]);
    }
}
