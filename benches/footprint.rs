//! Memory at rest and time to start, with 10,000 actions stored.
//!
//! `cargo bench --bench footprint`, on Linux. Fails above what is promised.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark that cannot go on stops"
)]

mod load;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

const ACTIONS: usize = 10_000;
const PROMISED_MIB: usize = 64;
const PROMISED_START: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configure(folder.path(), address);

    let mut service = start(folder.path(), address);
    let client = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    client.block_on(load::post_all(address, 64, load::requests(ACTIONS)));
    wait_until_decided(folder.path());
    let after_load = resident_mib(&service);
    stop(&mut service);

    let begin = Instant::now();
    let mut service = start(folder.path(), address);
    let start = begin.elapsed();
    let at_rest = resident_mib(&service);
    stop(&mut service);

    println!("{ACTIONS} actions stored");
    println!("memory after they came in   {after_load} MiB");
    println!("memory after a restart      {at_rest} MiB, promised {PROMISED_MIB} MiB at most, both times");
    println!("start to ready              {start:.2?}, promised {PROMISED_START:?} at most");
    let kept = after_load.max(at_rest) < PROMISED_MIB && start < PROMISED_START;
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A source in shadow mode: everything but the call is done, so no Defender is needed.
fn configure(folder: &Path, address: SocketAddr) {
    for (name, secret) in [("soc-secret", load::WHSEC), ("defender-secret", "unused")] {
        fs::write(folder.join(name), secret).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = format!(
        r#"
[server]
listen = "{address}"
[store]
path = "bridge.db"
[defender]
tenant_id = "tenant"
client_id = "client"
client_secret = {{ file = "defender-secret" }}
api_url = "http://127.0.0.1:9"
login_url = "http://127.0.0.1:9"
allow_custom_endpoint = true
[sources.soc]
format = "bridge"
mode = "shadow"
[sources.soc.quota]
deliveries_per_minute = 1000000
burst = 1000000
[sources.soc.auth]
scheme = "standard-webhooks"
secrets = [{{ file = "soc-secret" }}]
"#
    );
    fs::write(folder.join("quarantine-bridge.toml"), config).unwrap();
}

/// Starts the service; returns when it is ready.
fn start(folder: &Path, address: SocketAddr) -> Child {
    let mut service = Command::new(env!("CARGO_BIN_EXE_quarantine-bridge"))
        .arg("serve")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !is_ready(address) {
        assert!(service.try_wait().unwrap().is_none(), "the service ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    service
}

fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn wait_until_decided(folder: &Path) {
    let db = rusqlite::Connection::open(folder.join("bridge.db")).unwrap();
    let shadowed = || {
        let sql = "SELECT count(*) FROM actions WHERE state = 'shadowed'";
        db.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    while usize::try_from(shadowed()).unwrap() < ACTIONS {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Resident memory of a process, as the kernel counts it.
fn resident_mib(service: &Child) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap().div_ceil(1024)
}

fn stop(service: &mut Child) {
    let pid = service.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    service.wait().unwrap();
}
