//! What can go wrong with a spool.

use std::io;
use std::path::{Path, PathBuf};

use super::SpoolId;

/// Why the spool could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The system refused.
    #[error("{} cannot be used ({why}): its disk must have space and this process must be able to write there", .path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// As much is kept as may be.
    #[error(
        "the spool is full ({deliveries} deliveries, {bytes} bytes): bring the bridge back, and look at what is dead or \
         rejected with `quarantine-bridge spool list`"
    )]
    Full {
        /// Deliveries in all places.
        deliveries: u64,
        /// Bytes of all files.
        bytes: u64,
    },
    /// Another process sends from it.
    #[error("another process sends from {}: stop it first, or use another folder", .0.display())]
    InUse(PathBuf),
    /// Others may read or write it.
    #[error("{} is open to others (mode {mode:04o}): run chmod 700 {}", .path.display(), .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It was made for another destination.
    #[error(
        "this spool keeps deliveries for {known}: use another folder for another destination; if the bridge has moved, \
         remove {}", .path.display()
    )]
    OtherDestination {
        /// The file that says so.
        path: PathBuf,
        /// The destination.
        known: String,
    },
    /// There is none.
    #[error("{} is no spool: name the folder that a relay or `send --spool` uses", .0.display())]
    Missing(PathBuf),
    /// Nothing of this id was set aside.
    #[error("nothing that is dead or rejected has the id {0}: see `quarantine-bridge spool list`")]
    NoSuchDelivery(SpoolId),
}

impl SpoolError {
    pub(super) fn unusable(path: &Path, why: &io::Error) -> Self {
        Self::Unusable { path: path.to_owned(), why: why.to_string() }
    }
}

/// Why a delivery cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not what was put in.
    #[error("the file is damaged: {0}")]
    Corrupt(String),
    /// Another process has dealt with it.
    #[error("it is no longer there")]
    Gone,
    /// The disk does not give it now.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
}
