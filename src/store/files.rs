//! Where the files of the store lie: the database, and what is beside it.

use std::fs;
use std::path::{Path, PathBuf};

/// How many links are followed, one to the next: as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Returns the folder in which a file lies. A path without one means the folder that we are in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns where a file lies, or will lie once it is made, by a path without links: SQLite follows them, so whatever lies beside
/// the database lies beside this one. What cannot be followed is left as it is, and opening it tells why.
pub(super) fn resolved(path: &Path) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    let mut end = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(next) = fs::read_link(&end) else { break };
        end = folder(&end).join(next);
    }
    let place = folder(&end).canonicalize().ok().zip(end.file_name());
    place.map_or(path.to_owned(), |(folder, name)| folder.join(name))
}

/// Returns the path of one of the files that lie beside the database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
