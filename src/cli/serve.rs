//! `serve`: runs the service until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::{runtime, time};

use crate::clock::Clock;
use crate::config::{self, Config, Loaded, Refresh, Secrets, TlsFiles};
use crate::http::Tls;
use crate::store::Health;
use crate::telemetry::{Metrics, metric, start_logs};

use super::exit::{Failure, IO_ERROR};
use super::reload::{self, InUse, Reloader};
use super::{ConfigFile, Service, assemble};

/// How long calls that are under way may take when the service stops; Kubernetes kills after 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// How often metrics are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often the files of the listener's certificate are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);

/// How long before its end a certificate is warned of.
const CERTIFICATE_NEAR_END: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How often it is warned of.
const CERTIFICATE_WARNING: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Loaded { config, files, fixed } = config::load_with_files(&arguments.file.config, Secrets::Read);
    let config = config?;
    start_logs(config.log_format, config.log_level);
    reload::warn(&config.warnings);
    allow_open_files();
    let in_use = InUse { path: arguments.file.config.clone(), files, fixed };
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(serve(config, in_use))
}

/// Takes as many open files as the system allows: the usual first limit of 1,024 is less than the connections.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files cannot be raised");
    }
}

async fn serve(config: Config, in_use: InUse) -> anyhow::Result<()> {
    // Before anything can be told: without somebody who listens, the signal would end the process.
    let hangup = signal(SignalKind::hangup())?;
    let clock = Clock::system();
    let certificate = config.tls_files.clone().zip(config.http.tls.clone());
    let Service { address, server, dispatcher, key_fetcher, store, metrics, live } =
        assemble(config, clock.clone()).await?;
    let (stop, stopped) = watch::channel(false);
    let server_handle = server.handle();
    let mut tasks = JoinSet::new();
    tasks.spawn(dispatcher.run(stopped.clone()));
    tasks.spawn(key_fetcher.run(stopped));
    tasks.spawn(async move { drop(server.await) });
    let reloader = Reloader::new(in_use, live, metrics.clone(), clock);
    let reload = tasks.spawn(reloader.run(hangup));
    let certificate =
        certificate.map(|(files, tls)| tasks.spawn(watch_certificate(files, tls, metrics.clone())));
    let upkeep = tasks.spawn(upkeep(metrics));
    announce(address);
    let end = until_told(&mut tasks, store.health()).await?;
    server_handle.stop(true).await;
    stop.send_replace(true);
    upkeep.abort();
    reload.abort();
    certificate.iter().for_each(AbortHandle::abort);
    drain(tasks).await;
    match end {
        End::Told => Ok(()),
        End::Failed => {
            let text = "the service stopped because a part of it failed; see the log".to_owned();
            Err(Failure { code: IO_ERROR, text }.into())
        }
    }
}

/// Why the service ends.
enum End {
    /// A signal said so.
    Told,
    /// The disk failed, or a part ended by itself.
    Failed,
}

async fn until_told(tasks: &mut JoinSet<()>, mut health: watch::Receiver<Health>) -> anyhow::Result<End> {
    let mut terminate = signal(SignalKind::terminate())?;
    let end = tokio::select! {
        _ = terminate.recv() => End::Told,
        _ = tokio::signal::ctrl_c() => End::Told,
        _ = health.wait_for(|health| *health == Health::Broken) => End::Failed,
        _ = tasks.join_next() => End::Failed,
    };
    tracing::info!("stopping: no new deliveries, calls under way are finished");
    Ok(end)
}

fn announce(address: SocketAddr) {
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
}

async fn drain(mut tasks: JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("some calls did not end in time; their outcome will be looked up at the next start");
    }
}

async fn upkeep(metrics: Metrics) {
    loop {
        time::sleep(UPKEEP).await;
        metrics.upkeep();
    }
}

/// Takes up changed certificates, and tells when the one that is shown ends.
async fn watch_certificate(mut files: TlsFiles, tls: Tls, metrics: Metrics) {
    let clock = Clock::system();
    let mut warned_at: Option<Timestamp> = None;
    loop {
        let now = clock.now();
        let not_after = tls.not_after();
        metrics.set(
            &metric::TLS_CERTIFICATE_EXPIRY,
            &[],
            not_after.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64(),
        );
        let left = not_after.duration_since(now);
        let is_due = warned_at.is_none_or(|at| now.duration_since(at) >= CERTIFICATE_WARNING);
        if left < CERTIFICATE_NEAR_END && is_due {
            warned_at = Some(now);
            tracing::warn!(%not_after, days = left.as_hours() / 24, "the listener's certificate ends soon; put a new one into its files");
        }
        time::sleep(CERTIFICATE_LOOK).await;
        match files.refresh(&tls) {
            Refresh::Unchanged => {}
            Refresh::Loaded => {
                warned_at = None;
                metrics.count(&metric::TLS_RELOADS, &[("result", "loaded")]);
                tracing::info!(not_after = %tls.not_after(), "the listener shows a new certificate");
            }
            Refresh::Refused(why) => {
                metrics.count(&metric::TLS_RELOADS, &[("result", "refused")]);
                tracing::error!(why, "the listener's new certificate is not taken; the old one stays");
            }
        }
    }
}
