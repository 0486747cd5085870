//! Keys that sources sign with.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Tells the keys of a source apart in logs and metrics without telling the key.
///
/// It is the first 8 hexadecimal digits of the SHA-256 of the key, so the same secret has the same id
/// everywhere; for a caller with an issuer's token, its value in the source's allow-list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Names a key by its own bytes.
    fn of_secret(bytes: &[u8]) -> Self {
        Self::of_public(&Sha256::digest(bytes))
    }

    /// Names a key by a digest that need not be kept from anybody.
    pub(super) fn of_public(digest: &[u8]) -> Self {
        Self(hex::encode(digest).chars().take(8).collect())
    }

    /// Names a caller by what the allow-list calls it.
    pub(super) fn of_caller(name: &str) -> Self {
        Self(name.to_owned())
    }

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

/// How the text of a secret becomes the bytes of a key. It belongs to the scheme: `whsec_` is base64 with Standard
/// Webhooks and plain text with Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretEncoding {
    /// The text's own bytes.
    Utf8,
    /// Standard base64.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes, or `whpk_` and base64 of an ed25519 public key.
    Whsec,
}

impl SecretEncoding {
    /// All encodings with the words of the configuration.
    pub const ALL: [(&'static str, Self); 4] =
        [("utf8", Self::Utf8), ("base64", Self::Base64), ("hex", Self::Hex), ("whsec", Self::Whsec)];

    /// How many bytes a key may have: fewer can be guessed.
    fn lengths(self) -> RangeInclusive<usize> {
        match self {
            Self::Whsec => 24..=64,
            Self::Utf8 | Self::Base64 | Self::Hex => 24..=1024,
        }
    }
}

/// The hash under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA384.
    Sha384,
    /// HMAC-SHA512.
    Sha512,
}

impl Algorithm {
    /// All algorithms with the words of the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("sha256", Self::Sha256), ("sha384", Self::Sha384), ("sha512", Self::Sha512)];

    /// Returns how many bytes a MAC has.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
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
    NotWhsec,
    /// Not base64.
    #[error("the secret is not standard base64")]
    NotBase64,
    /// Not hexadecimal.
    #[error("the secret is not hexadecimal digits")]
    NotHex,
    /// Too few or too many bytes.
    #[error("the secret has {found} bytes; {} to {} are taken", .wanted.start(), .wanted.end())]
    Length {
        /// How many it has.
        found: usize,
        /// How many it may have.
        wanted: RangeInclusive<usize>,
    },
    /// Not an ed25519 public key.
    #[error("the public key is not whpk_ followed by base64 of 32 bytes")]
    NotPublicKey,
    /// The private half of a key pair, which only the sender may have.
    #[error("the file holds a private key (whsk_): the bridge needs the public key, whpk_, only")]
    PrivateKey,
}

/// One secret shared with a source, or its public key.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    material: Material,
    not_after: Option<Timestamp>,
}

#[derive(Clone)]
enum Material {
    Secret(SecretSlice<u8>),
    Ed25519([u8; ED25519_PUBLIC_KEY_LEN]),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the text of a secret file.
    pub fn read(
        secret: &SecretString,
        encoding: SecretEncoding,
        not_after: Option<Timestamp>,
    ) -> Result<Self, KeyError> {
        let text = secret.expose_secret().trim();
        if encoding == SecretEncoding::Whsec && text.starts_with("whpk_") {
            return Self::public(text, not_after);
        }
        let key = Self::of_any_length(secret, encoding, not_after)?;
        let found = key.length();
        let wanted = encoding.lengths();
        if wanted.contains(&found) { Ok(key) } else { Err(KeyError::Length { found, wanted }) }
    }

    /// Reads a secret to sign with, in the form of Standard Webhooks: `whsec_` and base64, of 24 to 64 bytes.
    pub fn from_whsec(secret: &SecretString, not_after: Option<Timestamp>) -> Result<Self, KeyError> {
        if secret.expose_secret().trim().starts_with("whpk_") {
            return Err(KeyError::NotWhsec);
        }
        Self::read(secret, SecretEncoding::Whsec, not_after)
    }

    /// Reads a secret that may be too short to be safe, as those of published vectors are.
    pub fn of_any_length(
        secret: &SecretString,
        encoding: SecretEncoding,
        not_after: Option<Timestamp>,
    ) -> Result<Self, KeyError> {
        let text = secret.expose_secret().trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let bytes = match encoding {
            SecretEncoding::Utf8 => text.as_bytes().to_vec(),
            SecretEncoding::Base64 => STANDARD.decode(text).or(Err(KeyError::NotBase64))?,
            SecretEncoding::Hex => hex::decode(text).or(Err(KeyError::NotHex))?,
            SecretEncoding::Whsec if text.starts_with("whsk_") => return Err(KeyError::PrivateKey),
            SecretEncoding::Whsec => {
                let encoded = text.strip_prefix("whsec_").unwrap_or(text);
                STANDARD.decode(encoded).or(Err(KeyError::NotWhsec))?
            }
        };
        Ok(Self { id: KeyId::of_secret(&bytes), material: Material::Secret(bytes.into()), not_after })
    }

    /// Reads an ed25519 public key: `whpk_` and base64 of 32 bytes.
    fn public(text: &str, not_after: Option<Timestamp>) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix("whpk_").unwrap_or(text);
        let bytes = STANDARD.decode(encoded).or(Err(KeyError::NotPublicKey))?;
        let bytes: [u8; ED25519_PUBLIC_KEY_LEN] = bytes.try_into().or(Err(KeyError::NotPublicKey))?;
        Ok(Self { id: KeyId::of_secret(&bytes), material: Material::Ed25519(bytes), not_after })
    }

    fn length(&self) -> usize {
        match &self.material {
            Material::Secret(bytes) => bytes.expose_secret().len(),
            Material::Ed25519(bytes) => bytes.len(),
        }
    }

    /// Tells this key from others.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// When it ends, if it does.
    pub(super) fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// Says whether the key may still be used.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }

    /// HMAC over the parts, as if they were one text; `None` for a public key, which makes none.
    pub(super) fn mac(&self, algorithm: Algorithm, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let Material::Secret(bytes) = &self.material else {
            return None;
        };
        let key = bytes.expose_secret();
        Some(match algorithm {
            Algorithm::Sha256 => mac::<Hmac<Sha256>>(key, parts),
            Algorithm::Sha384 => mac::<Hmac<Sha384>>(key, parts),
            Algorithm::Sha512 => mac::<Hmac<Sha512>>(key, parts),
        })
    }

    /// Says whether the private half of this key signed the parts (RFC 8032). A shared secret never did.
    pub(super) fn verifies(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        let Material::Ed25519(key) = &self.material else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, key).verify(&parts.concat(), signature).is_ok()
    }
}

fn mac<M: hmac::Mac + hmac::KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104, section 2)")]
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}
