//! The chain: each entry's digest is made of the one before and of its own text.

use super::digest::Digest;
use super::entry::Entry;

/// A chain as far as it was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    seq: u64,
    head: Digest,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its digest is not that of its text after the entry before it.
    #[error("it, or what stood before it, is not what was written")]
    Changed,
    /// Another one stands in its place.
    #[error("entry {0} stands in its place")]
    Misplaced(u64),
    /// It is no entry.
    #[error("what stands there is no entry: {0}")]
    Unreadable(String),
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record is broken at entry {seq}: {fault}")]
pub struct Broken {
    /// The place of the entry that should stand there.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 0, head: Digest::START }
    }
}

impl Chain {
    /// Goes on from an entry that was followed before.
    pub fn at(seq: u64, head: Digest) -> Self {
        Self { seq, head }
    }

    /// Returns the place of the last entry; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the digest of the last entry.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Returns the place of the next entry.
    pub fn next_seq(&self) -> u64 {
        self.seq.saturating_add(1)
    }

    /// Returns the digest of the next entry, if this is its text.
    pub fn digest_of(&self, text: &[u8]) -> Digest {
        self.head.then(text)
    }

    /// Follows the chain by one entry; on an error it stays where it was.
    pub fn follow(&mut self, text: &[u8], digest: Digest) -> Result<Entry, Broken> {
        let seq = self.next_seq();
        let broken = |fault| Broken { seq, fault };
        if self.digest_of(text) != digest {
            return Err(broken(Fault::Changed));
        }
        let entry = Entry::read(text).map_err(|why| broken(Fault::Unreadable(why.to_string())))?;
        if entry.seq != seq {
            return Err(broken(Fault::Misplaced(entry.seq)));
        }
        *self = Self { seq, head: digest };
        Ok(entry)
    }
}
