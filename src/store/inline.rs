//! A store in memory without threads: whoever holds it commits the writes that wait, one group after the other.
//!
//! The simulation runs on it. It decides when a commit happens and whether the disk is full, and it plays a crash by dropping
//! everything but this and opening the store anew: before a commit, what waits is lost; after it, its callers never learn
//! of it.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use super::connection::{self, Readers, SharedConnection};
use super::writer::{Waiting, Writer};
use super::{Store, StoreError, unfinished};

/// A database in memory, and the writes that wait for it.
#[derive(Debug)]
pub struct InlineStore {
    connection: SharedConnection,
    waiting: Waiting,
}

/// How the disk under an inline store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It takes a commit.
    Fine,
    /// It has no space for it.
    Full,
}

impl InlineStore {
    /// Makes an empty database and opens a store on it.
    pub fn new() -> Result<(Self, Store), StoreError> {
        let mut connection = Connection::open_in_memory()?;
        connection::prepare(&mut connection, Path::new(":memory:"))?;
        let (writer, waiting) = Writer::queue(true);
        #[expect(clippy::disallowed_types, reason = "as in `connection`")]
        let connection = Arc::new(std::sync::Mutex::new(connection));
        let inline = Self { connection, waiting };
        let store = inline.store(writer)?;
        Ok((inline, store))
    }

    /// Opens the store anew, as a process does that starts after a crash. Writes that waited are lost, and the handles of
    /// before fail.
    pub fn reopen(&mut self) -> Result<Store, StoreError> {
        let (writer, waiting) = Writer::queue(true);
        self.waiting = waiting;
        self.store(writer)
    }

    fn store(&self, writer: Writer) -> Result<Store, StoreError> {
        let unfinished = self.look(unfinished::count)?;
        Ok(Store::over(writer, Readers::Inline(Arc::clone(&self.connection)), unfinished))
    }

    /// Returns how many writes wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Commits the oldest writes that wait, so many at most, in one transaction. `disk` sees what they have written, and
    /// says whether there is space for it.
    pub fn commit(&mut self, max: usize, disk: impl FnOnce(&Connection) -> Disk) {
        if self.waiting.take(max) == 0 {
            return;
        }
        let check = |written: &Connection| match disk(written) {
            Disk::Fine => Ok(()),
            Disk::Full => Err(StoreError::NotWritable("the simulated disk is full".to_owned())),
        };
        self.waiting.commit(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner), check);
    }

    /// Looks at what is committed.
    pub fn look<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        read(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
