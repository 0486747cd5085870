//! The real binary, its configuration, and the commands a person types.

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use quarantine_bridge::alert::SignedId;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::{SigningKey, sign};
use reqwest::{Client, RequestBuilder};
use tempfile::TempDir;
use tokio::time::interval;

use super::{CLIENT, SECRET, TENANT, WHSEC, poll};

/// A folder with a configuration for the real binary.
pub(crate) struct Installation {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
}

impl Installation {
    /// Writes a configuration for a source `soc`; `more` is put at its end.
    pub(crate) fn new(api_url: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let installation = Self { folder, port };
        installation.write_secret("defender-secret", SECRET);
        installation.write_secret("soc-secret", WHSEC);
        let config = format!(
            r#"
[server]
listen = "127.0.0.1:{port}"

[store]
path = "bridge.db"

[defender]
tenant_id = "{TENANT}"
client_id = "{CLIENT}"
client_secret = {{ file = "defender-secret" }}
api_url = "{api_url}"
login_url = "{api_url}"
allow_custom_endpoint = true

[sources.soc]
format = "bridge"
mode = "enforce"
min_severity = "low"
# The guards are as usual, but tests send more, and sooner, than a new source may.
[sources.soc.policy]
first_actions = 0
blast_radius = []
[sources.soc.auth]
scheme = "standard-webhooks"
secrets = [{{ file = "soc-secret" }}]
{more}"#
        );
        fs::write(installation.config(), config).unwrap();
        installation
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("quarantine-bridge.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        self.write(name, text);
        set_mode(&self.path(name), 0o600);
    }

    /// Replaces a piece of the configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from} is not in the configuration");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A delivery to the source `soc`, signed now with this key.
    pub(crate) fn signed(&self, client: &Client, key: &SigningKey, id: &str, body: &str) -> RequestBuilder {
        let now = Clock::system().now();
        let id: SignedId = id.parse().unwrap();
        client
            .post(self.url("/v1/hooks/soc"))
            .header("content-type", "application/json")
            .header("webhook-id", id.as_str())
            .header("webhook-timestamp", now.as_second().to_string())
            .header("webhook-signature", sign(key, &id, now, body.as_bytes()))
            .body(body.to_owned())
    }

    /// Runs a command to its end, in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        command(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs a command to its end, in the folder; returns how it ended and what it said, to both.
    pub(crate) fn told(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.run(arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Starts the service; its log goes to a file.
    pub(crate) fn serve(&self) -> Serving {
        self.start(command(&["serve"]), "log")
    }

    /// Starts a command that runs until it is told to stop; its log goes to a file.
    pub(crate) fn start(&self, mut command: Command, log: &str) -> Serving {
        let path = self.path(log);
        // A kill may have torn the last line of an earlier one.
        let is_torn = fs::read(&path).is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
        let mut log = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        if is_torn {
            log.write_all(b" (torn)\n").unwrap();
        }
        command.stderr(log);
        self.spawn(command)
    }

    /// The same with a log that goes to where the command says.
    pub(crate) fn spawn(&self, mut command: Command) -> Serving {
        Serving(command.current_dir(self.folder.path()).spawn().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until the service can accept deliveries.
    pub(crate) async fn wait_until_ready(&self) {
        let client = Client::builder().no_proxy().build().unwrap();
        let mut ticks = interval(Duration::from_millis(5));
        for _ in 0..4_000 {
            let ready = client.get(self.url("/readyz")).send().await;
            if ready.is_ok_and(|response| response.status() == 200) {
                return;
            }
            ticks.tick().await;
        }
        let log = self.log();
        panic!("the service did not become ready:\n{}", &log[log.len().saturating_sub(4_000)..]);
    }
}

/// A port that nobody listens on, and that the system gives to no connection going out: it stays free while the service
/// is down.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run beside each other begin far apart.
    let begin = u16::try_from(process::id().wrapping_mul(331) % 20_000).unwrap();
    let next = || NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
    let mut ports = (0..20_000).map(|_| 10_000 + (begin + next()) % 20_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A command of the binary: of the one that was built with the tests, or of the one that `QUARANTINE_BRIDGE_BINARY` names.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let built = || env!("CARGO_BIN_EXE_quarantine-bridge").into();
    #[expect(clippy::disallowed_methods, reason = "a long campaign names a binary that builds do not touch")]
    let named = env::var_os("QUARANTINE_BRIDGE_BINARY");
    let mut command = Command::new(named.unwrap_or_else(built));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A running service; killed when dropped.
pub(crate) struct Serving(Child);

impl Serving {
    /// SIGKILL: no warning, no clean-up.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGHUP: read the configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// How much of the memory it has.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The exit code, once it has ended.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().and_then(|status| status.code())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate(self) -> Option<i32> {
        self.signal("-TERM");
        self.ended().await.code()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let mut ended = None;
        poll("the service to stop", || {
            ended = self.has_ended();
            ended.is_some()
        })
        .await;
        ended.unwrap()
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
