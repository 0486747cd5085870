//! The real service, configured, started and stopped.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::load;

/// Where nobody listens yet.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A source in shadow mode: everything but the call is done, so no Defender is needed.
pub fn configure(folder: &Path, address: SocketAddr) {
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
pub fn start(folder: &Path, address: SocketAddr) -> Child {
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

/// Resident memory of a process, as the kernel counts it.
pub fn resident_mib(service: &Child) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap().div_ceil(1024)
}

/// Ends the service as systemd would.
pub fn stop(service: &mut Child) {
    let pid = service.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    service.wait().unwrap();
}
