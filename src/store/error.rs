//! What can go wrong with the store, split by what to do about it.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::alert::ActionId;

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space, no right to write, or somebody else who writes. It mends itself when that is over.
    #[error("the store cannot be written ({0})")]
    NotWritable(String),
    /// There is no database.
    #[error("there is no database {}: start the service once, or name the right configuration with --config", .0.display())]
    Missing(PathBuf),
    /// The disk failed. SQLite's documentation and the fsync findings of 2018 say the same: stop, look,
    /// restart.
    #[error("the disk under the store failed ({0}): the service stops; check the disk, then start it again")]
    Broken(String),
    /// More writes wait than should.
    #[error("too many writes wait for the disk")]
    Busy,
    /// The writer is gone, because the service is stopping.
    #[error("the store is closing")]
    Closing,
    /// The file is a database of something else.
    #[error("{} is not a database of quarantine-bridge: name another file in store.path", .0.display())]
    Foreign(PathBuf),
    /// A newer version made the database.
    #[error(
        "the database has schema {found}, this version knows up to {known}: run the newer version, or restore the \
         backup made before the upgrade"
    )]
    Newer {
        /// Schema version of the file.
        found: i64,
        /// Newest schema version known here.
        known: i64,
    },
    /// The database is of another version than this command.
    #[error(
        "the database has schema {found}, this command knows {known}: use the version of the service that runs; if none does, \
         start the newer of the two once"
    )]
    OtherVersion {
        /// Schema version of the file.
        found: i64,
        /// Newest schema version known here.
        known: i64,
    },
    /// The database was put there without taking away what belongs to the one before.
    #[error(
        "{} belongs to another database than the one beside it: stop every service there, move that file away with the \
         old database, and start again", .0.display()
    )]
    LogOfAnother(PathBuf),
    /// Another instance uses the database.
    #[error("another instance is using {}: stop it first; two would call Defender twice", .0.display())]
    InUse(PathBuf),
    /// The file system is none for a database.
    #[error(
        "{} cannot be there: the file system is {name}, and {why}; put it on a local disk or a block volume, and name \
         that in store.path (deploy/README.md, \"Where the database may be\")", .path.display()
    )]
    Misplaced {
        /// The database.
        path: PathBuf,
        /// The file system.
        name: &'static str,
        /// What does not work there.
        why: &'static str,
    },
    /// The lock file could not be made.
    #[error("{} cannot be opened ({why}): its folder must exist and the service must be able to write there", .path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A stored value is not what only we can have written.
    #[error("the database is damaged ({0}): the service stops; check the disk, and restore a backup")]
    Corrupt(String),
    /// SQLite refused a statement: a bug of ours.
    #[error("a statement failed ({0}): please report it")]
    Statement(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        let not_writable = |remedy: &str| Self::NotWritable(format!("{text}; {remedy}"));
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => not_writable("free space on its disk"),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                not_writable("give whoever runs this the right to write there")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                not_writable("another program writes there: try again, or end it if it has been forgotten")
            }
            Some(ErrorCode::OutOfMemory) => not_writable("free memory"),
            Some(ErrorCode::SystemIoFailure) => Self::Broken(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(text),
            _ => Self::Statement(text),
        }
    }
}

impl StoreError {
    /// An action that was found as unfinished is not found by its id. Nothing unfinished is ever deleted, so an index is
    /// damaged; to go on would be to try the same for ever.
    pub(super) fn lost(action: ActionId) -> Self {
        Self::Corrupt(format!("unfinished action {action} is not found by its id"))
    }

    /// Says whether SQLite may have undone the whole transaction because of it.
    pub(super) fn spoils_transaction(&self) -> bool {
        self.is_fatal() || matches!(self, Self::NotWritable(_))
    }

    /// Says whether nothing may be written any more until a person has looked.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Corrupt(_))
    }
}
