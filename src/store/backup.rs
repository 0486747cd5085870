//! A consistent copy of the database, made beside a running service.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::{Builder, NamedTempFile};

use crate::alert::millis;

use super::marks::Mark;
use super::{Options, StoreError, connection, files};

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// How many actions it holds.
    pub actions: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file is there already.
    #[error("{} is there already and is left alone: name another file", .0.display())]
    Exists(PathBuf),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy could not be written.
    #[error("the backup cannot be written to {} ({why}): its folder must exist and have room", .folder.display())]
    NotWritten {
        /// The folder.
        folder: PathBuf,
        /// What the system or SQLite said.
        why: String,
    },
    /// What was copied is damaged.
    #[error("the copy is damaged ({0}), and was thrown away: check the disks, and keep the older backups")]
    Damaged(String),
}

/// Copies the database, which a service may be using, to a new file that only its owner may read.
///
/// It is written aside, checked, forced to disk and then named. It carries a mark by which the first start from it knows that
/// calls may have been made since.
pub fn back_up(options: &Options, path: &Path, now: Timestamp) -> Result<Backup, BackupError> {
    let source = connection::open_beside(&options.path)?;
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let folder = files::folder(path);
    let not_written = |why: String| BackupError::NotWritten { folder: folder.to_owned(), why };
    let failed = |why: io::Error| not_written(why.to_string());
    let copy = Builder::new().prefix(".backup-").suffix(".partial").tempfile_in(folder).map_err(failed)?;
    copy_into(&source, &copy).map_err(|error| match error {
        StoreError::NotWritable(why) | StoreError::Broken(why) => not_written(why),
        error => error.into(),
    })?;
    let actions = check_and_mark(copy.path(), now)?;
    copy.as_file().sync_all().map_err(failed)?;
    let bytes = copy.as_file().metadata().map_err(failed)?.len();
    copy.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
        _ => not_written(error.error.to_string()),
    })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(Backup { path: path.to_owned(), bytes, actions })
}

/// One read transaction, so the copy is of one moment; writers are not held up.
fn copy_into(source: &Connection, copy: &NamedTempFile) -> Result<(), StoreError> {
    let text =
        copy.path().to_str().ok_or_else(|| StoreError::NotWritable("its path is no UTF-8".to_owned()))?;
    source.execute("VACUUM INTO ?1", [text])?;
    Ok(())
}

fn check_and_mark(copy: &Path, now: Timestamp) -> Result<u64, BackupError> {
    let db = Connection::open(copy).map_err(StoreError::from)?;
    let found: String =
        db.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(StoreError::from)?;
    if found != "ok" {
        return Err(BackupError::Damaged(found));
    }
    Mark::BackupAt.write(&db, millis(now))?;
    let actions: i64 =
        db.query_row("SELECT count(*) FROM actions", [], |row| row.get(0)).map_err(StoreError::from)?;
    Ok(u64::try_from(actions).unwrap_or(0))
}
