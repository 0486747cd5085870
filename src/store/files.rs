//! Where the files of the store lie: the database, and what is beside it.

use std::path::{Path, PathBuf};

/// Returns the folder in which a file lies. A path without one means the folder that we are in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the path of one of the files that lie beside the database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
