//! Which files a configuration was read from and how each looked then, so that a change can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files, each with how it looked when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    looks: BTreeMap<PathBuf, Option<Look>>,
    /// Those that hold a secret.
    secret: BTreeSet<PathBuf>,
}

/// What changes when a file is written, replaced, or made readable, or when a link on the way to it is turned to
/// another one, as Kubernetes does with mounted secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    resolved: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Seconds and nanoseconds; a new mode changes it too.
    changed: (i64, i64),
}

impl Files {
    /// Notes a file, before it is read: a change while it is read is seen later.
    pub(super) fn note(&mut self, path: &Path) {
        self.looks.insert(path.to_owned(), look(path));
    }

    /// Notes a file that holds a secret.
    pub(super) fn note_secret(&mut self, path: &Path) {
        self.note(path);
        self.secret.insert(path.to_owned());
    }

    /// Returns every file, and whether it holds a secret.
    pub fn all(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.looks.keys().map(|path| (path.as_path(), self.secret.contains(path)))
    }

    /// Returns the same files as they look now.
    #[must_use]
    pub fn as_now(&self) -> Self {
        let looks = self.looks.keys().map(|path| (path.clone(), look(path))).collect();
        Self { looks, secret: self.secret.clone() }
    }
}

/// `None` for a file that is not there, or not for us.
fn look(path: &Path) -> Option<Look> {
    let resolved = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&resolved).ok()?;
    Some(Look {
        resolved,
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
