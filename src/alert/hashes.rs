//! Identifiers that are hashes: so many hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{IdError, shortened};

/// SHA1, SHA256 and MD5 of the empty file, seen in place of real hashes in public samples.
const HASHES_OF_NOTHING: &[&str] = &[
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "d41d8cd98f00b204e9800998ecf8427e",
];

/// Bytes shown as lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct HexBytes<const N: usize>([u8; N]);

impl<const N: usize> HexBytes<N> {
    fn parse(what: &'static str, text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; N];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(IdError::NotHex { what, digits: N.saturating_mul(2), found: shortened(text) }),
        }
    }

    /// Reads a hash; one repeated digit and the hash of the empty file stand for no file.
    fn parse_hash(what: &'static str, text: &str) -> Result<Self, IdError> {
        let hash = Self::parse(what, text)?;
        let shown = hash.to_string();
        let first = shown.chars().next();
        if HASHES_OF_NOTHING.contains(&shown.as_str()) || shown.chars().all(|c| Some(c) == first) {
            return Err(IdError::Placeholder(format!("{what} {shown}")));
        }
        Ok(hash)
    }
}

impl<const N: usize> fmt::Display for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Defender's id of a device: 40 lower-case hexadecimal digits (reference, defender-api 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(HexBytes<20>);

/// SHA1 of a file's content.
///
/// Placeholders are refused: one repeated digit, and the hash of the empty file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1(HexBytes<20>);

/// SHA256 of a file's content, no placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(HexBytes<32>);

/// MD5 of a file's content, no placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Md5(HexBytes<16>);

impl FromStr for MachineId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        HexBytes::parse("machine id", text).map(Self)
    }
}

impl FromStr for Sha1 {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        HexBytes::parse_hash("SHA1", text).map(Self)
    }
}

impl FromStr for Sha256 {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        HexBytes::parse_hash("SHA256", text).map(Self)
    }
}

impl FromStr for Md5 {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        HexBytes::parse_hash("MD5", text).map(Self)
    }
}

impl TryFrom<String> for MachineId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.to_string()
    }
}

impl Sha1 {
    /// Says whether this is the same 20 bytes as a machine id: then one was taken for the other.
    pub fn equals_machine(self, machine: MachineId) -> bool {
        self.0 == machine.0
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
