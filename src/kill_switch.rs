//! The loop that looks for the signal file, and tells the service what other processes did to the kill switch.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{self, JoinHandle};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::store::{KillSwitch, Store, StoreError, Turn};
use crate::telemetry::{Metrics, metric};

/// How often the file and the store are looked at. With [`PATIENCE`] and what dispatch waits it stays under a second.
const EVERY: Duration = Duration::from_millis(200);

/// How long a look at the file may take. After that it is not known whether it is there.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether the signal file says that the switch is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// There is no such file, and its folder is there.
    Absent,
    /// The file is there.
    Present,
    /// That cannot be known, which counts as if it was there.
    Unknown(String),
}

/// Looks for a signal file.
pub fn look_for(file: &Path) -> Signal {
    match fs::symlink_metadata(file) {
        Ok(_) => Signal::Present,
        Err(error) if error.kind() == ErrorKind::NotFound => absent(file),
        Err(error) => Signal::Unknown(error.to_string()),
    }
}

/// A file is not there only if its folder is: what is not mounted cannot be looked into.
fn absent(file: &Path) -> Signal {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => Signal::Absent,
        Ok(_) => Signal::Unknown("its folder is none".to_owned()),
        Err(error) => Signal::Unknown(format!("its folder cannot be looked into: {error}")),
    }
}

/// Keeps the service at what the signal file and the store say of the kill switch.
#[derive(Debug)]
pub struct SwitchWatch {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    file: Option<PathBuf>,
    /// A look that takes too long; no other one is begun beside it.
    looking: Option<JoinHandle<Signal>>,
    /// How the switch stood last.
    seen: Option<KillSwitch>,
}

impl SwitchWatch {
    /// Makes the loop; it runs when it is awaited.
    pub fn new(store: Store, clock: Clock, metrics: Metrics, file: Option<PathBuf>) -> Self {
        Self { store, clock, metrics, file, looking: None, seen: None }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.look().await {
                tracing::error!(%error, "it is not known how the kill switch stands; nothing is sent");
                self.store.kill_switch_was_turned_on();
                self.metrics.set(&metric::KILL_SWITCH, &[], 1.0);
            }
            tokio::select! {
                // An error says that nobody is left to tell: that is a stop too.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = sleep(EVERY) => {}
            }
        }
    }

    /// Looks once.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let reason = match self.signal().await {
            Signal::Absent => None,
            Signal::Present => Some("the signal file is there".to_owned()),
            Signal::Unknown(why) => Some(format!("it is not known whether the signal file is there: {why}")),
        };
        let stands = self.store.note_signal(reason, self.clock.now()).await?;
        self.tell(&stands);
        self.seen = Some(stands);
        Ok(())
    }

    async fn signal(&mut self) -> Signal {
        let Some(file) = self.file.clone() else {
            return Signal::Absent;
        };
        let looking = self.looking.get_or_insert_with(|| task::spawn_blocking(move || look_for(&file)));
        match timeout(PATIENCE, looking).await {
            Ok(looked) => {
                self.looking = None;
                looked.unwrap_or_else(|error| Signal::Unknown(io::Error::other(error).to_string()))
            }
            Err(_) => Signal::Unknown("the look takes too long".to_owned()),
        }
    }

    /// Tells of a change, whoever made it.
    fn tell(&self, stands: &KillSwitch) {
        self.metrics.set(&metric::KILL_SWITCH, &[], f64::from(u8::from(stands.is_on)));
        let turned = |switch: &KillSwitch| switch.last.as_ref().map(|turn| turn.seq);
        let is_new = self.seen.as_ref().is_none_or(|seen| turned(seen) != turned(stands));
        let Some(turn) = stands.last.as_ref().filter(|_| is_new) else {
            return;
        };
        if stands.is_on {
            self.store.kill_switch_was_turned_on();
        } else {
            self.store.kill_switch_was_turned_off();
        }
        log(
            turn,
            if stands.is_on { "the kill switch is on: nothing is sent" } else { "the kill switch is off" },
        );
    }
}

fn log(turn: &Turn, what: &str) {
    let (who, reason, since) = (&turn.who, turn.reason.as_str(), turn.at);
    tracing::warn!(%who, reason, %since, "{what}");
}
