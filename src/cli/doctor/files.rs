//! Who may read and write the configuration, its secrets and the database.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use crate::config::{Config, Files};

use super::finding::{Check, Finding, well, wrong};

/// Rights that the group and others have on a file.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ANY: u32 = 0o007;
const OTHERS_ENTER: u32 = 0o001;

/// Looks at every file that the configuration was read from, and at the database.
pub(super) fn look(files: &Files, config: Option<&Config>) -> Vec<Finding> {
    let key = config.and_then(|config| config.tls_files.as_ref()).map(|tls| (tls.key(), true));
    let database = config.map(|config| config.store.path.as_path()).filter(|path| is_reached(path));
    let database = database.map(|path| (path, true));
    let all: Vec<(&Path, bool)> = files.all().chain(key).chain(database).collect();
    let mut findings: Vec<Finding> =
        all.iter().filter_map(|(path, is_secret)| one(path, *is_secret)).collect();
    if findings.is_empty() {
        findings.push(well(Check::Files, "the right users own the files, and nobody else reads secrets"));
    }
    findings
}

/// Says whether others get through to a file: SQLite makes its files as the umask says, in a folder that may be closed.
fn is_reached(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::metadata(folder).is_ok_and(|folder| folder.mode() & OTHERS_ENTER != 0)
}

/// A file that is not there is another's finding.
fn one(path: &Path, is_secret: bool) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let (mode, shown) = (metadata.mode() & 0o7777, path.display());
    let forbidden = if is_secret { OTHERS_ANY | GROUP_WRITES } else { OTHERS_WRITE };
    if mode & forbidden != 0 {
        let change = if is_secret { "g-w,o-rwx" } else { "o-w" };
        let what = format!("{shown} is open to more than its owner and who may read it (mode {mode:04o})");
        return Some(wrong(Check::Files, what, format!("run: chmod {change} {shown}")));
    }
    if !is_trusted(&metadata) {
        let what = format!("{shown} is owned by user {}, who can change it and its mode", metadata.uid());
        let next = format!("run: chown root {shown}, with the service's group; or make it the service's own");
        return Some(wrong(Check::Files, what, next));
    }
    None
}

/// Root, or whoever runs the service. Run as root, this cannot know who that is, so any user's own secret will do.
fn is_trusted(metadata: &Metadata) -> bool {
    let us = geteuid();
    metadata.uid() == 0 || metadata.uid() == us.as_raw() || us.is_root()
}
