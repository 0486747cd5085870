//! What systemd hears of the service. The tests play systemd.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use rusqlite::Connection;

use crate::harness::binary::{Installation, Serving, command};

/// Nobody is there: the service does not need Defender to be ready.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Long for a start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The socket that systemd listens on, and what the service is told of it.
struct Systemd {
    socket: UnixDatagram,
    address: OsString,
}

impl Systemd {
    /// With a socket that is a file.
    fn by_path(installation: &Installation) -> Self {
        let path = installation.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, address: path.into_os_string() }
    }

    /// With a socket that has a name and is no file.
    fn by_name() -> Self {
        let name = format!("quarantine-bridge-test-{}", process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, address: format!("@{name}").into() }
    }

    fn start(&self, installation: &Installation, more: &[(&str, &str)]) -> Serving {
        let mut serve = command(&["serve"]);
        serve.env("NOTIFY_SOCKET", &self.address).envs(more.iter().copied());
        installation.start(serve, "log")
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 256];
        match self.socket.recv(&mut bytes) {
            Ok(length) => Some(String::from_utf8(bytes[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn hears(&self, text: &str) {
        assert_eq!(self.next().as_deref(), Some(text));
    }
}

#[tokio::test]
async fn it_says_that_it_is_ready_reads_its_configuration_and_ends() {
    let installation = Installation::new(NOWHERE, "");
    let systemd = Systemd::by_path(&installation);

    let service = systemd.start(&installation, &[]);
    systemd.hears("READY=1");
    installation.wait_until_ready().await;

    service.hang_up();
    let reloading = systemd.next().unwrap();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    systemd.hears("READY=1");

    assert_eq!(service.terminate().await, Some(0));
    systemd.hears("STOPPING=1");
}

#[tokio::test]
async fn a_socket_without_a_file_is_told_too() {
    let installation = Installation::new(NOWHERE, "");
    let systemd = Systemd::by_name();

    let _service = systemd.start(&installation, &[]);

    systemd.hears("READY=1");
}

#[tokio::test]
async fn the_watchdog_hears_of_it_while_it_can_write_and_not_while_it_cannot() {
    let installation = Installation::new(NOWHERE, "");
    let systemd = Systemd::by_path(&installation);
    let _service = systemd.start(&installation, &[("WATCHDOG_USEC", "400000")]);
    systemd.hears("READY=1");
    for _ in 0..3 {
        systemd.hears("WATCHDOG=1");
    }

    // Whoever holds this lock keeps the thread that writes waiting.
    let holder = Connection::open(installation.path("bridge.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    systemd.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // What was on its way when the lock was taken.
    let heard = (0..3).map_while(|_| systemd.next()).count();
    assert!(heard < 3, "the watchdog hears of a service that cannot write");

    holder.execute_batch("ROLLBACK").unwrap();
    systemd.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    systemd.hears("WATCHDOG=1");
}

#[tokio::test]
async fn another_process_that_the_watchdog_waits_for_is_not_us() {
    let installation = Installation::new(NOWHERE, "");
    let systemd = Systemd::by_path(&installation);
    let watchdog = [("WATCHDOG_USEC", "400000"), ("WATCHDOG_PID", "1")];

    let service = systemd.start(&installation, &watchdog);
    systemd.hears("READY=1");

    assert_eq!(service.terminate().await, Some(0));
    systemd.hears("STOPPING=1");
}

#[tokio::test]
async fn ready_asks_whether_deliveries_are_taken() {
    let installation = Installation::new(NOWHERE, "");
    let url = installation.url("");
    assert_eq!(installation.told(&["ready", "--url", &url]).0, 69);

    let _service = installation.serve();
    installation.wait_until_ready().await;

    let (code, said, _) = installation.told(&["ready", "--url", &url]);
    assert_eq!((code, said.as_str()), (0, "ready\n"));
}
