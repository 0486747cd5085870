//! Copies SQLite's write-ahead log into the database, beside the writer.
//!
//! SQLite does that by itself inside a commit once the log is long, so that everybody who waits for that commit waits for the copy,
//! and does not say if it fails. Here a thread copies while the writer goes on (SQLite calls it a passive checkpoint). It would never
//! come to an end while there are writes, so once the log is long, the writer copies the little that is left between two commits,
//! and the log begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::StoreError;
use super::health::Health;

/// After how many writes there is enough to copy.
const WRITES: usize = 128;

/// How many pages make the log long.
const PAGES: i64 = 1_000;

/// Handle to the thread that copies.
#[derive(Debug)]
pub(super) struct LogCopier {
    wanted: SyncSender<()>,
    thread: JoinHandle<()>,
    health: watch::Sender<Health>,
    /// Writes since the copy that was asked for last.
    writes: usize,
    is_long: Arc<AtomicBool>,
}

impl LogCopier {
    /// Starts the thread, on a connection of its own. The writer's copies no more by itself.
    pub(super) fn start(
        writing: &Connection,
        copying: Connection,
        health: watch::Sender<Health>,
    ) -> Result<Self, StoreError> {
        writing.pragma_update(None, "wal_autocheckpoint", 0)?;
        let (wanted, asked) = mpsc::sync_channel(1);
        let is_long = Arc::new(AtomicBool::new(false));
        let (tell_long, tell_health) = (Arc::clone(&is_long), health.clone());
        let work = move || {
            while asked.recv().is_ok() {
                if copy(&copying, &tell_health).is_some_and(|pages| pages >= PAGES) {
                    tell_long.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = thread::Builder::new().name("store-log-copier".to_owned()).spawn(work);
        let thread = thread.map_err(|why| StoreError::NotWritable(why.to_string()))?;
        Ok(Self { wanted, thread, health, writes: 0, is_long })
    }

    /// Says that the writer has committed so many writes on this connection, and has none under way.
    pub(super) fn committed(&mut self, writes: usize, connection: &Connection) {
        if self.is_long.swap(false, Ordering::Relaxed) {
            copy(connection, &self.health);
        }
        self.writes = self.writes.saturating_add(writes);
        if self.writes >= WRITES && self.wanted.try_send(()).is_ok() {
            self.writes = 0;
        }
    }

    /// Waits for the copy that is under way, and ends the thread.
    pub(super) fn end(self) {
        drop(self.wanted);
        if self.thread.join().is_err() {
            tracing::error!("the thread that copies the store's log has panicked");
        }
    }
}

/// Copies what it can; returns how many pages the log has, if that is known. What could not be copied is still in the log, and is
/// copied another time, but a disk that fails stops the service, as it does at a commit.
fn copy(connection: &Connection, health: &watch::Sender<Health>) -> Option<i64> {
    let error = match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get("log")) {
        Ok(pages) => return Some(pages),
        Err(error) => error,
    };
    // The other thread is copying at this moment.
    if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        return None;
    }
    let error = StoreError::from(error);
    tracing::error!(%error, "the store's log was not copied into the database");
    if error.is_fatal() {
        health.send_replace(Health::Broken);
    }
    None
}
