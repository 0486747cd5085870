//! Tells systemd how the service stands, if systemd wants to know: `sd_notify(3)`.
//!
//! A datagram that cannot be sent is dropped: the service never waits for whoever watches it.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How systemd is told. A cheap handle; without systemd it does nothing.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    to: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Finds out from the environment whether systemd has started this process and what it wants to know.
    pub fn from_environment() -> Self {
        let Some(address) = variable("NOTIFY_SOCKET") else {
            return Self::default();
        };
        match connect(&address) {
            Ok(socket) => Self { to: Some(Arc::new(socket)), watchdog: watchdog() },
            Err(error) => {
                tracing::warn!(%error, ?address, "systemd cannot be told how the service stands");
                Self::default()
            }
        }
    }

    /// How often the watchdog wants to hear of it: systemd kills the service when it has heard nothing for twice as long.
    pub fn beat(&self) -> Option<Duration> {
        self.to.as_ref().and(self.watchdog).and_then(|limit| limit.checked_div(2))
    }

    /// The service can be used, or it has read its configuration again.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read again, until the next [`Self::ready`].
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros =
            i128::from(now.tv_sec).saturating_mul(1_000_000).saturating_add(i128::from(now.tv_nsec / 1_000));
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The service lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, text: &str) {
        if let Some(Err(error)) = self.to.as_ref().map(|to| to.send(text.as_bytes())) {
            tracing::warn!(%error, text, "systemd could not be told");
        }
    }
}

/// A path, or with `@` before it a name that is not in the file system.
fn connect(address: &OsString) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// How long systemd waits for a sign of life, if it waits for this process.
fn watchdog() -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros)
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "systemd tells what it wants in the environment")]
    let value = env::var_os(name);
    value.filter(|value| !value.is_empty())
}
