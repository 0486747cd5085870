//! The key pair that signs checkpoints: ed25519, each half a line of text.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsBigEndian as _, Curve25519SeedBin};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::digest::Digest;

/// What each half begins with, so that a leak is found by a search.
const SECRET_PREFIX: &str = "qbsk_";
const PUBLIC_PREFIX: &str = "qbpk_";

/// How many bytes the seed of a key has, and how many the public half.
const KEY_BYTES: usize = 32;

/// How many digits of its digest name a key.
const ID_DIGITS: usize = 16;

/// Why a key is none. Never holds its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no secret half.
    #[error("it is not the secret half of a key that `audit key` made: qbsk_ and 32 bytes in base64")]
    NotSecret,
    /// It is no public half.
    #[error("it is not the public half of a key that `audit key` made: qbpk_ and 32 bytes in base64")]
    NotPublic,
    /// The system has no random numbers.
    #[error("no key can be made: the system gives no random numbers")]
    NoRandom,
}

/// The secret half.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public().id()).finish()
    }
}

impl SigningKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(Self).or(Err(KeyError::NoRandom))
    }

    /// Reads the text of a key.
    pub fn read(text: &SecretString) -> Result<Self, KeyError> {
        let encoded = text.expose_secret().trim().strip_prefix(SECRET_PREFIX).ok_or(KeyError::NotSecret)?;
        let seed: SecretSlice<u8> = STANDARD.decode(encoded).or(Err(KeyError::NotSecret))?.into();
        Ed25519KeyPair::from_seed_unchecked(seed.expose_secret()).map(Self).or(Err(KeyError::NotSecret))
    }

    /// Returns the text of the key, for its file.
    pub fn reveal(&self) -> Result<SecretString, KeyError> {
        let seed = self.0.seed().or(Err(KeyError::NoRandom))?;
        let bytes: Curve25519SeedBin<'_> = seed.as_be_bytes().or(Err(KeyError::NoRandom))?;
        Ok(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes.as_ref())).into())
    }

    /// Returns the public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(bytes))
    }
}

/// The public half. Whoever has it can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Returns what names the key in checkpoints: the beginning of its digest.
    pub fn id(&self) -> String {
        Digest::of(&self.0).to_string().chars().take(ID_DIGITS).collect()
    }

    /// Says whether the key's other half has signed these bytes.
    pub(super) fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(raw) = STANDARD.decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, &raw).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded = text.trim().strip_prefix(PUBLIC_PREFIX).ok_or(KeyError::NotPublic)?;
        let bytes = STANDARD.decode(encoded).or(Err(KeyError::NotPublic))?;
        bytes.try_into().map(Self).or(Err(KeyError::NotPublic))
    }
}
