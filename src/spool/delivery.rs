//! One delivery and its file: a line of JSON about it, then the body as it came.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::{NoContext, Uuid};

use crate::alert::SignedId;

use super::ReadError;

/// The version of the file's form.
const VERSION: u32 = 1;

/// The longest file that can be a delivery: no listener takes a body near this size.
pub(super) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How the name of a delivery's file ends.
const DELIVERY: &str = ".delivery";

/// How the name of a note's file ends.
const NOTE: &str = ".note.json";

/// Our id of a delivery in a spool: a UUID of version 7, so that ids sort by the time they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(Uuid);

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id in a spool is a UUID, as `spool list` prints it")]
pub struct NoSpoolId;

impl SpoolId {
    /// Makes the id of a delivery that came at this millisecond.
    pub(super) fn at(millis: i64) -> Self {
        let millis = u64::try_from(millis).unwrap_or(0);
        let nanos = u32::try_from(millis.wrapping_rem(1_000)).unwrap_or(0).saturating_mul(1_000_000);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis.wrapping_div(1_000), nanos)))
    }

    /// The id that the bridge sees, if the sender gave none.
    pub(super) fn signed_id(self) -> Option<SignedId> {
        format!("msg_{}", self.0.simple()).parse().ok()
    }

    pub(super) fn file_name(self) -> String {
        format!("{self}{DELIVERY}")
    }

    pub(super) fn note_name(self) -> String {
        format!("{self}{NOTE}")
    }

    pub(super) fn of_delivery_file(name: &str) -> Option<Self> {
        name.strip_suffix(DELIVERY)?.parse().ok().filter(|id: &Self| id.file_name() == name)
    }

    pub(super) fn of_note_file(name: &str) -> Option<Self> {
        name.strip_suffix(NOTE)?.parse().ok().filter(|id: &Self| id.note_name() == name)
    }
}

impl FromStr for SpoolId {
    type Err = NoSpoolId;

    fn from_str(text: &str) -> Result<Self, NoSpoolId> {
        text.parse().map(Self).or(Err(NoSpoolId))
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A delivery in a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id in the spool.
    pub id: SpoolId,
    /// The id that it is sent under, every time.
    pub signed_id: SignedId,
    /// When it was put in.
    pub received_at: Timestamp,
    /// The body as it came.
    pub body: Bytes,
}

/// The first line of a delivery's file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    id: String,
    webhook_id: String,
    received_at: String,
    sha256: String,
}

impl Head {
    /// SHA-256 over all else that the file holds.
    fn digest(&self, body: &[u8]) -> String {
        let words = format!("{}\n{}\n{}\n", self.id, self.webhook_id, self.received_at);
        hex::encode(Sha256::new().chain_update(words).chain_update(body).finalize())
    }
}

impl Delivery {
    pub(super) fn encode(&self) -> Vec<u8> {
        let head = Head {
            version: VERSION,
            id: self.id.to_string(),
            webhook_id: self.signed_id.to_string(),
            received_at: self.received_at.to_string(),
            sha256: String::new(),
        };
        let head = Head { sha256: head.digest(&self.body), ..head };
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(super) fn decode(id: SpoolId, bytes: &[u8]) -> Result<Self, ReadError> {
        let corrupt = |why: &str| ReadError::Corrupt(why.to_owned());
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| corrupt("it has no first line"))?;
        let (head, body) = bytes.split_at_checked(end).ok_or_else(|| corrupt("it has no first line"))?;
        let body = body.strip_prefix(b"\n").unwrap_or(body);
        let head: Head = serde_json::from_slice(head).or(Err(corrupt("its first line cannot be read")))?;
        if head.version != VERSION {
            return Err(ReadError::Corrupt(format!("it is of version {}, this is {VERSION}", head.version)));
        }
        if head.id != id.to_string() {
            return Err(corrupt("its name is that of another delivery"));
        }
        if head.sha256 != head.digest(body) {
            return Err(corrupt("it does not have the digest that was written with it"));
        }
        let signed_id = head.webhook_id.parse().or(Err(corrupt("its delivery id cannot be read")))?;
        let received_at = head.received_at.parse().or(Err(corrupt("its time cannot be read")))?;
        Ok(Self { id, signed_id, received_at, body: Bytes::copy_from_slice(body) })
    }
}
