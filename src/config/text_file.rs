//! Reads files of the configuration without waiting: what is no file, such as a pipe, could keep the reader for ever.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The longest file that is read. The example of every key has 40 KiB.
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads a file as text.
///
/// # Errors
///
/// If it cannot be read, is no file, is longer than 8 MiB, or is no UTF-8.
pub(super) fn read(path: &Path) -> io::Result<String> {
    // Without the flag, to open a pipe would wait for somebody who writes.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    let read = file.take(BYTES_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > BYTES_MAX {
        return Err(io::Error::other("it is longer than 8 MiB"));
    }
    Ok(text)
}
