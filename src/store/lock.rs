//! Keeps a second instance away from the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::files::beside;
use super::{StoreError, place};

/// Takes the lock that lies beside the database, whose path has no links any more, if locks count where that lies; it is held until the file is dropped, also by a crash.
pub(super) fn take(database: &Path) -> Result<File, StoreError> {
    place::check(database)?;
    let path = beside(database, ".lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let unreachable =
        |why: std::io::Error| StoreError::Unreachable { path: path.clone(), why: why.to_string() };
    let file = options.open(&path).map_err(unreachable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(database.to_owned())),
        Err(TryLockError::Error(why)) => Err(unreachable(why)),
    }
}
