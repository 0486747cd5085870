//! Keys that sources sign with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::{Digest as _, Sha256};

/// Standard Webhooks asks for 24 to 64 bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Tells the keys of a source apart in logs and metrics without telling the key.
///
/// It is the first 8 hexadecimal digits of the SHA-256 of the key, so the same secret has the same id
/// everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text cannot be a key. Never holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("the secret is empty")]
    Empty,
    /// Not base64.
    #[error("the secret is not whsec_ followed by standard base64")]
    NotBase64,
    /// Too few or too many bytes.
    #[error("the secret decodes to {0} bytes; Standard Webhooks asks for 24 to 64")]
    Length(usize),
}

/// One secret shared with a source.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    bytes: SecretSlice<u8>,
    not_after: Option<Timestamp>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a secret in the form of Standard Webhooks: `whsec_` and base64, of 24 to 64 bytes.
    pub fn from_whsec(secret: &SecretString, not_after: Option<Timestamp>) -> Result<Self, KeyError> {
        let key = Self::of_any_length(secret, not_after)?;
        let length = key.bytes.expose_secret().len();
        if KEY_BYTES.contains(&length) { Ok(key) } else { Err(KeyError::Length(length)) }
    }

    /// Reads a secret that may be too short to be safe, as that of a published vector is.
    pub fn of_any_length(secret: &SecretString, not_after: Option<Timestamp>) -> Result<Self, KeyError> {
        let text = secret.expose_secret().trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let Ok(bytes) = STANDARD.decode(encoded) else {
            return Err(KeyError::NotBase64);
        };
        let digest = hex::encode(Sha256::digest(&bytes));
        let id = KeyId(digest.chars().take(8).collect());
        Ok(Self { id, bytes: bytes.into(), not_after })
    }

    /// Tells this key from others.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Says whether the key may still be used.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }

    /// HMAC-SHA256 over the parts, as if they were one text.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104, section 2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.bytes.expose_secret())
            .expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
