//! Copies SQLite's write-ahead log into the database, beside the writer.
//!
//! Once the log has 1,000 pages, SQLite copies it inside a commit, and everybody who waits for that commit waits for the copy. The
//! less is left to copy then, the shorter they wait. SQLite calls this a passive checkpoint: it keeps nobody from writing or
//! reading. It alone would never come to an end while there are writes, so the writer's own stays.

use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::StoreError;
use super::writer::Health;

/// After how many writes there is enough to copy.
const WRITES: usize = 128;

/// Handle to the thread that copies.
#[derive(Debug)]
pub(super) struct LogCopier {
    wanted: SyncSender<()>,
    thread: JoinHandle<()>,
    /// Writes since the copy that was asked for last.
    writes: usize,
}

impl LogCopier {
    /// Starts the thread, on a connection of its own.
    pub(super) fn start(connection: Connection, health: watch::Sender<Health>) -> Result<Self, StoreError> {
        let (wanted, asked) = mpsc::sync_channel(1);
        let work = move || {
            while asked.recv().is_ok() {
                copy(&connection, &health);
            }
        };
        let thread = thread::Builder::new().name("store-log-copier".to_owned()).spawn(work);
        let thread = thread.map_err(|why| StoreError::NotWritable(why.to_string()))?;
        Ok(Self { wanted, thread, writes: 0 })
    }

    /// Says that so many writes were committed.
    pub(super) fn committed(&mut self, writes: usize) {
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

/// What could not be copied is still in the log, and the writer copies it in its turn.
fn copy(connection: &Connection, health: &watch::Sender<Health>) {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    let Err(error) = copied else {
        return;
    };
    // The writer is copying at this moment.
    if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        return;
    }
    let error = StoreError::from(error);
    tracing::error!(%error, "the store's log was not copied into the database");
    if error.is_fatal() {
        health.send_replace(Health::Broken);
    }
}
