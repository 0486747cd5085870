//! A service that runs in the test, by a configuration file.

use std::net::SocketAddr;

use quarantine_bridge::cli::{Service, assemble};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::config::{Secrets, TlsFiles, load};
use quarantine_bridge::http::Tls;
use quarantine_bridge::telemetry::Metrics;
use tokio::task::JoinSet;

use super::binary::Installation;

/// It runs until it is dropped. Nothing is dispatched.
pub(crate) struct Installed {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    /// The certificate that it shows, and its files.
    pub(crate) tls: Option<(Tls, TlsFiles)>,
    pub(crate) installation: Installation,
    _tasks: JoinSet<()>,
}

impl Installed {
    /// Starts what an installation's configuration says, on a free port.
    pub(crate) async fn start(installation: Installation) -> Self {
        let config = load(&installation.config(), Secrets::Read);
        let mut config = config.unwrap_or_else(|complaints| panic!("{complaints}"));
        config.http.listen.set_port(0);
        let tls = config.http.tls.clone().zip(config.tls_files.clone());
        let Service { address, server, metrics, .. } = assemble(config, Clock::system()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.unwrap() });
        Self { address, metrics, tls, installation, _tasks: tasks }
    }

    /// The value of a metric's line, if it is there.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.render();
        let found = text.lines().find_map(|have| have.strip_prefix(line)?.strip_prefix(' '));
        found.and_then(|value| value.parse().ok())
    }
}
