//! Follows a record from its first entry and holds it to checkpoints.

use std::collections::BTreeMap;

use super::chain::{Broken, Chain, Fault};
use super::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use super::deed::Deed;
use super::digest::Digest;
use super::entry::Entry;
use super::key::PublicKey;

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The chain breaks.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A checkpoint that stands in the record proves nothing.
    #[error("the checkpoint in entry {seq} proves nothing: {why}")]
    BadCheckpoint {
        /// The entry.
        seq: u64,
        /// Why.
        why: CheckpointError,
    },
    /// A checkpoint has another entry.
    #[error(
        "entry {seq} is not the one that the checkpoint of it signed: the record was rewritten, or restored from a backup made before"
    )]
    Rewritten {
        /// The entry.
        seq: u64,
    },
    /// The record ends before a checkpoint.
    #[error(
        "the record ends at entry {last}, and a checkpoint signed entry {signed}: it was cut off, or restored from a backup made before"
    )]
    CutOff {
        /// The last entry.
        last: u64,
        /// The last entry when the checkpoint was made.
        signed: u64,
    },
}

/// What was found of a whole record that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries it has.
    pub entries: u64,
    /// The digest of the last.
    pub head: Digest,
    /// How many checkpoints it was held to, those that stand in it included.
    pub checkpoints: u64,
    /// Up to which entry a checkpoint stands for it; what comes after could have been cut off.
    pub signed_to: u64,
    /// How often the database was restored from a backup.
    pub restores: u64,
}

/// Follows a record.
#[derive(Debug)]
pub struct Verifier {
    chain: Chain,
    keys: Vec<PublicKey>,
    /// By the place of the entry that each signed.
    checkpoints: BTreeMap<u64, Vec<Digest>>,
    held_to: u64,
    signed_to: u64,
    restores: u64,
}

impl Verifier {
    /// Begins before the first entry. Without keys, checkpoints that stand in the record are not looked at.
    pub fn new(keys: Vec<PublicKey>, checkpoints: &[Checkpoint]) -> Self {
        let mut by_seq: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
        for checkpoint in checkpoints {
            by_seq.entry(checkpoint.seq).or_default().push(checkpoint.hash);
        }
        let chain = Chain::default();
        Self { chain, keys, checkpoints: by_seq, held_to: 0, signed_to: 0, restores: 0 }
    }

    /// Returns the place of the next entry.
    pub fn next_seq(&self) -> u64 {
        self.chain.next_seq()
    }

    /// Follows the record by one entry.
    pub fn follow(&mut self, text: &[u8], digest: Digest) -> Result<Entry, Wrong> {
        let before = self.chain.clone();
        let entry = self.chain.follow(text, digest)?;
        match &entry.deed {
            Deed::Checkpoint { signed } if !self.keys.is_empty() => self.hold_to(signed, &before)?,
            Deed::Restore { .. } => self.restores = self.restores.saturating_add(1),
            _ => {}
        }
        for hash in self.checkpoints.remove(&entry.seq).unwrap_or_default() {
            if hash != digest {
                return Err(Wrong::Rewritten { seq: entry.seq });
            }
            self.held(entry.seq);
        }
        Ok(entry)
    }

    /// Follows the record by one row of a table, in which any column may be damaged.
    pub fn follow_row(
        &mut self,
        place: Option<u64>,
        text: &[u8],
        digest: Option<Digest>,
    ) -> Result<Entry, Wrong> {
        let seq = self.next_seq();
        if let Some(other) = place.filter(|place| *place != seq) {
            return Err(Broken { seq, fault: Fault::Misplaced(other) }.into());
        }
        match place.and(digest) {
            Some(digest) => self.follow(text, digest),
            None => Err(Broken { seq, fault: Fault::Changed }.into()),
        }
    }

    /// A checkpoint in the record signs what stands before it.
    fn hold_to(&mut self, signed: &str, before: &Chain) -> Result<(), Wrong> {
        let seq = before.next_seq();
        let checkpoint =
            SignedCheckpoint::read(signed, &self.keys).map_err(|why| Wrong::BadCheckpoint { seq, why })?;
        if (checkpoint.seq, checkpoint.hash) != (before.seq(), before.head()) {
            return Err(Wrong::Rewritten { seq: before.seq() });
        }
        self.held(checkpoint.seq);
        Ok(())
    }

    fn held(&mut self, seq: u64) {
        self.held_to = self.held_to.saturating_add(1);
        self.signed_to = self.signed_to.max(seq);
    }

    /// Ends: the record has no more entries.
    pub fn finish(self) -> Result<Verified, Wrong> {
        let last = self.chain.seq();
        if let Some((&signed, _)) = self.checkpoints.iter().find(|(seq, _)| **seq > last) {
            return Err(Wrong::CutOff { last, signed });
        }
        if self.checkpoints.values().flatten().any(|hash| *hash != Digest::START) {
            return Err(Wrong::Rewritten { seq: 0 });
        }
        Ok(Verified {
            entries: last,
            head: self.chain.head(),
            checkpoints: self.held_to,
            signed_to: self.signed_to,
            restores: self.restores,
        })
    }
}
