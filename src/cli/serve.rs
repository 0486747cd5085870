//! `serve`: runs the service until it is told to stop.

use std::future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio::{runtime, time};

use crate::clock::Clock;
use crate::config::{self, Config, Loaded, Secrets};
use crate::notify::Notify;
use crate::store::{Health, Place, Store, place};
use crate::telemetry::{Metrics, start_logs};

use super::certificate::CertificateWatch;
use super::exit::{Failure, IO_ERROR};
use super::reload::{self, InUse, Reloader};
use super::{ConfigFile, Service, assemble};

/// How long calls that are under way may take when the service stops; Kubernetes kills after 30 s.
const DRAIN: Duration = Duration::from_secs(20);

/// How long after the start the whole database is read for the first time, to see whether it is damaged: what had waited for
/// the start goes first.
const FIRST_LOOK_FOR_DAMAGE: Duration = Duration::from_mins(5);

/// How often it is read from then on.
const LOOK_FOR_DAMAGE: Duration = Duration::from_hours(24);

/// How often metrics are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long ago the loop that sends may have come round for the service to count as alive: it sleeps 30 seconds at most.
const LONGEST_TURN: Duration = Duration::from_secs(90);

/// How long threads may go on at the end.
const THREADS_END_WITHIN: Duration = Duration::from_secs(2);

/// What is told if the thread that writes log lines cannot be started.
pub(super) const NO_LOGS: &str = "logging cannot be started";

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Loaded { config, files, fixed, .. } = config::load_with_files(&arguments.file.config, Secrets::Read);
    let config = config?;
    let _logs = start_logs(config.log_format, config.log_level).context(NO_LOGS)?;
    reload::warn(&config.warnings);
    warn_of_place(&config);
    allow_open_files();
    let in_use = InUse { path: arguments.file.config.clone(), files, fixed };
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    to_the_end(runtime.context("the runtime cannot be started")?, serve(config, in_use))
}

/// Runs something to its end. A thread that hangs then in a read, of a disk that is away, keeps nobody.
pub(super) fn to_the_end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    done
}

/// Says that the database lies where it may be lost. Where it would break, it is not opened at all.
fn warn_of_place(config: &Config) {
    if let Place::Doubtful { name, why } = place(&config.store) {
        let database = config.store.path.display();
        tracing::warn!(%database, file_system = name, why, "the database should be on a local disk or a block volume");
    }
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
    let Service {
        address,
        server,
        dispatcher,
        key_fetcher,
        alert_fetcher,
        pruner,
        checkpoints,
        switch_watch,
        callbacks,
        traces,
        stopping,
        store,
        metrics,
        live,
    } = assemble(config, clock.clone()).await?;
    let notify = Notify::from_environment();
    let (stop, stopped) = watch::channel(false);
    let server_handle = server.handle();
    let mut tasks = JoinSet::new();
    let watchdog = watchdog(notify.clone(), store.clone(), dispatcher.turned_at());
    tasks.spawn(dispatcher.run(stopped.clone()));
    tasks.spawn(key_fetcher.run(stopped.clone()));
    tasks.spawn(alert_fetcher.run(stopped.clone()));
    tasks.spawn(pruner.run(stopped.clone()));
    tasks.spawn(checkpoints.run(stopped.clone()));
    tasks.spawn(switch_watch.run(stopped.clone()));
    tasks.spawn(callbacks.run(stopped.clone()));
    tasks.spawn(traces.run(stopped));
    tasks.spawn(async move { drop(server.await) });
    let reloader = Reloader::new(in_use, live, metrics.clone(), clock.clone(), notify.clone());
    let watch = |(files, tls)| CertificateWatch::new(files, tls, metrics.clone(), clock);
    let certificate = certificate.map(watch).map(|watch| tasks.spawn(watch.run()));
    // What has nothing to finish.
    let mut others = vec![
        tasks.spawn(reloader.run(hangup)),
        tasks.spawn(upkeep(metrics)),
        tasks.spawn(look_for_damage(store.clone())),
        tasks.spawn(watchdog),
    ];
    others.extend(certificate);
    announce(address);
    notify.ready();
    let end = until_told(&mut tasks, store.health()).await?;
    notify.stopping();
    stopping.send_replace(true);
    server_handle.stop(true).await;
    stop.send_replace(true);
    others.iter().for_each(AbortHandle::abort);
    drain(tasks).await;
    end.told()
}

/// Why the service ends.
enum End {
    /// A signal said so.
    Told,
    /// The disk failed, or a part ended by itself.
    Failed,
}

impl End {
    fn told(self) -> anyhow::Result<()> {
        let text = "the service stopped because a part of it failed; see the log".to_owned();
        match self {
            Self::Told => Ok(()),
            Self::Failed => Err(Failure { code: IO_ERROR, text }.into()),
        }
    }
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

/// Reads the whole database now and then. Damage makes the store's health bad, which ends the service.
async fn look_for_damage(store: Store) {
    time::sleep(FIRST_LOOK_FOR_DAMAGE).await;
    loop {
        let found = store.look_for_damage().await.err().map(|error| error.to_string());
        tracing::info!(found, "the whole database was read, to see whether it is damaged");
        time::sleep(LOOK_FOR_DAMAGE).await;
    }
}

async fn upkeep(metrics: Metrics) {
    loop {
        time::sleep(UPKEEP).await;
        metrics.upkeep();
    }
}

/// Tells the watchdog that the service lives, while it does: the thread that writes answers, and the loop that sends comes round.
async fn watchdog(notify: Notify, store: Store, turned_at: watch::Receiver<Instant>) {
    let Some(beat) = notify.beat() else {
        return future::pending().await;
    };
    let mut beats = time::interval(beat);
    let patience = beat.checked_div(2).unwrap_or(beat);
    loop {
        beats.tick().await;
        let writes = time::timeout(patience, store.writer_answers()).await;
        if writes == Ok(true) && turned_at.borrow().elapsed() < LONGEST_TURN {
            notify.alive();
        }
    }
}
