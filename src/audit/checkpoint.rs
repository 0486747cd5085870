//! A checkpoint: what the record was at a time, signed, to be kept where the record is not.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::key::{PublicKey, SigningKey};

/// What the record was at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The place of the last entry, which is also how many there are.
    pub seq: u64,
    /// The digest of the last entry.
    pub hash: Digest,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The SHA-256 of the signed checkpoint before this one.
    pub previous: Option<Digest>,
    /// Which key signs it.
    pub key: String,
}

/// A checkpoint with its signature: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The signature of its JSON, in base64.
    pub signature: String,
}

/// Why a checkpoint proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is none.
    #[error("it is no checkpoint, or not every byte of it is as it was written")]
    Unreadable,
    /// None of the keys signed it.
    #[error("it is signed with key {0}, and that public key was not given")]
    OtherKey(String),
    /// The signature is wrong.
    #[error("its signature is wrong: key {0} did not sign this")]
    Forged(String),
}

impl Checkpoint {
    /// Signs it.
    pub fn sign(self, key: &SigningKey) -> Result<SignedCheckpoint, serde_json::Error> {
        let signature = key.sign(serde_json::to_string(&self)?.as_bytes());
        Ok(SignedCheckpoint { checkpoint: self, signature })
    }
}

impl SignedCheckpoint {
    /// Returns its text.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads one whose signature is right by one of the keys.
    pub fn read(text: &str, keys: &[PublicKey]) -> Result<Checkpoint, CheckpointError> {
        let signed: Self = serde_json::from_str(text).or(Err(CheckpointError::Unreadable))?;
        if signed.text().ok().as_deref() != Some(text) {
            return Err(CheckpointError::Unreadable);
        }
        let Self { checkpoint, signature } = signed;
        let Some(key) = keys.iter().find(|key| key.id() == checkpoint.key) else {
            return Err(CheckpointError::OtherKey(checkpoint.key));
        };
        let bytes = serde_json::to_string(&checkpoint).or(Err(CheckpointError::Unreadable))?;
        if key.has_signed(bytes.as_bytes(), &signature) {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Forged(checkpoint.key))
        }
    }
}
