//! How much room is left on the disk under the store.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::{Health, Options, Store, StoreError, files, work};

/// What must be left for the store to count as writable: a delivery of the largest size with its alerts, and a page for each
/// action that moves meanwhile.
pub const ROOM_MIN: u64 = 8 * 1024 * 1024;

/// The disk under the store; none where nothing is kept.
#[derive(Debug, Clone)]
pub(super) struct Room {
    folder: Option<PathBuf>,
}

impl Room {
    /// The disk on which this file lies.
    pub(super) fn of(database: &Path) -> Self {
        Self { folder: Some(files::folder(database).to_owned()) }
    }

    /// No disk.
    pub(super) fn unlimited() -> Self {
        Self { folder: None }
    }

    /// Says whether there is enough for what may come next.
    ///
    /// A small write may still fit where a delivery would not. Where the system does not tell, what writes say counts alone.
    pub(super) fn is_enough(&self) -> bool {
        self.folder.as_deref().and_then(left).is_none_or(|left| left >= ROOM_MIN)
    }
}

impl Store {
    /// Says whether a delivery can be written: by the room on the disk, and where the last write failed, by writing.
    pub async fn is_writable(&self) -> bool {
        let health = *self.health().borrow();
        match health {
            Health::Fine | Health::NotWritable if !self.room.is_enough() => false,
            Health::Fine => true,
            Health::NotWritable => self.writer.write(work::probe).await.is_ok(),
            Health::Broken => false,
        }
    }

    /// Waits until the thread that writes has had its turn; says whether it still takes work. That the disk is full is no matter.
    pub async fn writer_answers(&self) -> bool {
        !matches!(self.writer.write(|_| Ok(())).await, Err(StoreError::Closing))
    }
}

/// How many bytes may still be written beside the database, if the system tells.
pub fn room_left(options: &Options) -> Option<u64> {
    left(files::folder(&options.path))
}

/// How many bytes may still be written by whoever is not root.
fn left(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
