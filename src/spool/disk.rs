//! Files that are whole or not there: written aside, forced to disk, then named.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use uuid::Uuid;

use super::SpoolError;

/// How the name of an unfinished file ends.
const UNFINISHED: &str = ".part";

/// What others may not have on a folder of the spool: it holds alerts, and whoever can write there can have
/// anything signed.
const OTHERS: u32 = 0o077;

/// Makes a folder that its owner alone may use, or checks that it is one.
pub(super) fn make_private_folder(path: &Path) -> Result<(), SpoolError> {
    let unusable = |why| SpoolError::unusable(path, &why);
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path).map_err(unusable),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path).map_err(unusable)?;
            let mode = metadata.mode() & 0o777;
            if !metadata.is_dir() {
                return Err(unusable(io::Error::from(io::ErrorKind::NotADirectory)));
            }
            if mode & OTHERS == 0 { Ok(()) } else { Err(SpoolError::Open { path: path.to_owned(), mode }) }
        }
        Err(error) => Err(unusable(error)),
    }
}

/// Options for a file that its owner alone may use.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Writes a file so that it is there as a whole and survives a power cut, or is not there.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(format!("{}{UNFINISHED}", Uuid::new_v4().simple()));
    let written = write_new(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, folder.join(name)));
    if let Err(error) = written {
        drop(fs::remove_file(&unfinished));
        return Err(error);
    }
    sync(folder)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_file().create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Says whether a file is being written, or was when its writer died.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

/// Writes a file, forces it to disk, and removes it.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!("{}{UNFINISHED}", Uuid::new_v4().simple()));
    let written = write_new(&path, b"probe");
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Moves a file to another folder, durably.
pub(super) fn relocate(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    fs::rename(from.join(name), to.join(name))?;
    sync(to)?;
    sync(from)
}

/// Moves a file under a name that nothing has there yet.
pub(super) fn move_to_new_name(from: &Path, name: &OsStr, to: &Path) -> io::Result<()> {
    let mut kept = name.to_owned();
    kept.push(format!(".{}", Uuid::new_v4().simple()));
    fs::rename(from.join(name), to.join(kept))?;
    sync(to)?;
    sync(from)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

/// Returns the names in a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<OsString>, SpoolError> {
    let read = || -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    read().map_err(|why| SpoolError::unusable(folder, &why))
}

/// Reads a regular file of at most so many bytes; none if it is longer or no regular file.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    // Opening a named pipe would wait for ever.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    let is_longer = u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max;
    Ok((!is_longer).then_some(bytes))
}
