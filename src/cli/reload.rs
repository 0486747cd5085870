//! Reads the configuration again, on SIGHUP and when a file of it changes, while the service runs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::Signal;
use tokio::{task, time};

use crate::audit::{ConfigurationAct, Digest};
use crate::clock::Clock;
use crate::config::{self, Complaint, Complaints, Config, Files, Fixed, Loaded, Secrets};
use crate::notify::Notify;
use crate::telemetry::{Metrics, metric};

use super::Live;
use super::assemble::{as_recorded, as_refused};

/// How often the files are looked at. A change is applied when the next look finds no further one, so that what is written
/// bit by bit is not read half.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a look at the files takes at most where all is well.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The configuration in use, and where it came from.
#[derive(Debug)]
pub(super) struct InUse {
    pub(super) path: PathBuf,
    pub(super) files: Files,
    pub(super) fixed: Fixed,
}

/// Keeps a running service at what its configuration says.
#[derive(Debug)]
pub(super) struct Reloader {
    in_use: InUse,
    live: Live,
    metrics: Metrics,
    clock: Clock,
    notify: Notify,
}

impl Reloader {
    pub(super) fn new(in_use: InUse, live: Live, metrics: Metrics, clock: Clock, notify: Notify) -> Self {
        let reloader = Self { in_use, live, metrics, clock, notify };
        reloader.show(true);
        reloader
    }

    /// Works until it is aborted.
    pub(super) async fn run(mut self, mut hangup: Signal) {
        let mut seen = self.in_use.files.clone();
        loop {
            let is_told = tokio::select! {
                Some(()) = hangup.recv() => true,
                () = time::sleep(LOOK_EVERY) => false,
            };
            let files = self.in_use.files.clone();
            let Some(files) = self.patiently(move || files.as_now()).await else {
                continue;
            };
            let has_changed = files != self.in_use.files;
            let is_still = files == seen;
            seen = files;
            if is_told || (has_changed && is_still) {
                self.notify.reloading();
                self.reload().await;
                self.notify.ready();
                seen.clone_from(&self.in_use.files);
            }
        }
    }

    /// Reads on a thread of its own, and tells if that takes long: a disk that is away may answer never.
    async fn patiently<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let mut reading = task::spawn_blocking(read);
        loop {
            if let Ok(done) = time::timeout(READ_WITHIN, &mut reading).await {
                return done.ok();
            }
            tracing::error!(
                "the configuration cannot be looked at: its disk does not answer; the one before stays in use"
            );
            self.show(false);
        }
    }

    /// Reads everything again. What is bad changes nothing.
    async fn reload(&mut self) {
        let path = self.in_use.path.clone();
        let loaded = self.patiently(move || config::load_with_files(&path, Secrets::Read)).await;
        let Some(Loaded { config, files, fixed, file }) = loaded else {
            tracing::error!("the configuration could not be read again: reading it broke off");
            return self.show(false);
        };
        // A bad one is looked at again when one of its files changes.
        self.in_use.files = files;
        let taken = match config {
            Ok(config) => self.take_over(config).await,
            Err(complaints) => Err(complaints.into()),
        };
        if let Err(error) = &taken {
            self.record_refusal(file, error).await;
        }
        self.show(taken.is_ok());
        match taken {
            Ok(()) => tell_use(&self.in_use.fixed.changed(&fixed)),
            Err(error) => tell_failure(&error),
        }
    }

    /// Records it before it is in use: what is not in the audit does not count.
    async fn take_over(&self, config: Config) -> anyhow::Result<()> {
        warn(&config.warnings);
        let read = as_recorded(&config, ConfigurationAct::Reloaded);
        self.live.record(read, self.clock.now()).await?;
        self.live.apply(config)
    }

    async fn record_refusal(&self, file: Digest, error: &anyhow::Error) {
        let complaints = error.downcast_ref::<Complaints>().and_then(|complaints| complaints.0.first());
        let problem = complaints.map_or_else(|| error.to_string(), ToString::to_string);
        if let Err(error) = self.live.record(as_refused(file, problem), self.clock.now()).await {
            tracing::error!(%error, "the audit does not have that a configuration was refused");
        }
    }

    fn show(&self, is_good: bool) {
        self.metrics.set(&metric::CONFIG_RELOAD_FAILED, &[], if is_good { 0.0 } else { 1.0 });
        if is_good {
            let at = self.clock.now().duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
            self.metrics.set(&metric::CONFIG_LOADED, &[], at);
        }
    }
}

fn tell_use(need_restart: &[String]) {
    for key in need_restart {
        tell_restart(key);
    }
    tracing::info!("the configuration was read again and is in use");
}

fn tell_restart(key: &str) {
    tracing::warn!(key, "has changed and needs a restart; the rest is applied");
}

fn tell_failure(error: &anyhow::Error) {
    let complaints = error.downcast_ref::<Complaints>();
    complaints.into_iter().flat_map(|complaints| &complaints.0).for_each(complain);
    let why = complaints.is_none().then(|| error.to_string());
    tracing::error!(why, "the configuration on disk is not in use; the one before stays in use");
}

fn complain(complaint: &Complaint) {
    let Complaint { file, line, key, problem, remedy } = complaint;
    tracing::error!(file = %file.display(), line, key, problem, remedy, "the configuration is wrong");
}

/// Logs what may be meant so and should be known.
pub(super) fn warn(warnings: &Complaints) {
    for Complaint { line, key, problem, remedy, .. } in &warnings.0 {
        tracing::warn!(key, line, problem, remedy);
    }
}
