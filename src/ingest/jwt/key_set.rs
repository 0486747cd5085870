//! An issuer's public keys, each bound to the algorithms that it may verify.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

/// The longest `kid` taken.
const KID_BYTES_MAX: usize = 512;

/// Most keys of a set that are kept. Entra ID has about ten.
const KEYS_MAX: usize = 100;

/// How a token may be signed: with a private key only, never with a shared secret, never not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// Not the name of an algorithm that may be allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of RS256, PS256, ES256, ES384, EdDSA")]
pub struct UnknownAlgorithm(String);

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// Returns the name by which tokens and key sets know it (RFC 7518, RFC 8037).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn in_crate(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
        found.ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

/// Why a text is no set of usable keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON Web Key Set.
    #[error("it is no JSON Web Key Set: {0}")]
    Form(String),
    /// A set without a key that can verify a token.
    #[error("none of its {0} keys has a kid and is an RSA, P-256, P-384 or Ed25519 key for signatures")]
    NoUsableKey(usize),
}

/// One public key.
pub(super) struct PublicKey {
    kid: String,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl PublicKey {
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Says whether this key made a signature, in base64url, over a text.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        crypto::verify(signature, signed.as_bytes(), &self.key, algorithm.in_crate()).unwrap_or(false)
    }
}

/// The keys of one issuer (RFC 7517).
pub struct KeySet(Vec<PublicKey>);

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

impl KeySet {
    /// Reads a key set. Keys of other kinds and for other uses are left out.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Set = serde_json::from_slice(json).map_err(|error| KeySetError::Form(error.to_string()))?;
        let all = set.keys.len();
        let entries = set.keys.into_iter().filter_map(|entry| Entry::deserialize(entry).ok());
        let keys: Vec<PublicKey> = entries.filter_map(Entry::into_key).take(KEYS_MAX).collect();
        if keys.is_empty() { Err(KeySetError::NoUsableKey(all)) } else { Ok(Self(keys)) }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the key of this id. An id that stands for two keys stands for none.
    pub(super) fn key(&self, kid: &str) -> Option<&PublicKey> {
        let mut keys = self.0.iter().filter(|key| key.kid == kid);
        let key = keys.next();
        key.filter(|_| keys.next().is_none())
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// A key as the set has it.
#[derive(Deserialize)]
struct Entry {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Entry {
    fn into_key(self) -> Option<PublicKey> {
        let is_for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let has_kid = (1..=KID_BYTES_MAX).contains(&self.kid.len());
        if !is_for_signatures || !has_kid {
            return None;
        }
        let (mut algorithms, key) = self.material()?;
        // A key that names its algorithm is for no other.
        if let Some(alg) = &self.alg {
            algorithms.retain(|algorithm| algorithm.as_str() == alg);
        }
        (!algorithms.is_empty()).then_some(PublicKey { kid: self.kid, algorithms, key })
    }

    /// The algorithms that the kind of key allows, and the key.
    fn material(&self) -> Option<(Vec<Algorithm>, DecodingKey)> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => {
                let key = DecodingKey::from_rsa_components(self.n.as_deref()?, self.e.as_deref()?).ok()?;
                Some((vec![Algorithm::Rs256, Algorithm::Ps256], key))
            }
            ("EC", Some("P-256")) => Some((vec![Algorithm::Es256], self.on_curve(32)?)),
            ("EC", Some("P-384")) => Some((vec![Algorithm::Es384], self.on_curve(48)?)),
            ("OKP", Some("Ed25519")) => {
                let x = self.x.as_deref().filter(|x| has_bytes(x, 32))?;
                Some((vec![Algorithm::EdDsa], DecodingKey::from_ed_components(x).ok()?))
            }
            _ => None,
        }
    }

    fn on_curve(&self, bytes: usize) -> Option<DecodingKey> {
        let x = self.x.as_deref().filter(|x| has_bytes(x, bytes))?;
        let y = self.y.as_deref().filter(|y| has_bytes(y, bytes))?;
        DecodingKey::from_ec_components(x, y).ok()
    }
}

fn has_bytes(text: &str, bytes: usize) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|decoded| decoded.len() == bytes)
}
