//! How the disk under the store does.

use super::StoreError;

/// How the disk under the store does, by what was last written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The last commit is on disk.
    Fine,
    /// The last commit found no space or no right to write; it may mend itself.
    NotWritable,
    /// The disk failed; nothing but a restart can mend it.
    Broken,
}

impl Health {
    /// How it does after a commit.
    pub(super) fn after(commit: &Result<(), StoreError>) -> Self {
        match commit {
            Ok(()) => Self::Fine,
            Err(error) if error.is_fatal() => Self::Broken,
            Err(_) => Self::NotWritable,
        }
    }
}
