//! Proves who sent a delivery: headers and raw bytes in, `Verified` or a reason out.
//!
//! Pure: `now` is an argument, and nothing of the body is read before its signature holds.

mod headers;
mod key;
mod standard_webhooks;

use bytes::Bytes;
use jiff::Timestamp;

use crate::alert::{SignedId, SourceName};

pub use headers::Headers;
pub use key::{KeyError, KeyId, SigningKey};
pub use standard_webhooks::{StandardWebhooks, sign};

/// One HTTP request as it came over the wire.
#[derive(Debug, Clone)]
pub struct RawDelivery {
    /// All headers, in order.
    pub headers: Headers,
    /// The body's bytes, neither decompressed nor decoded.
    pub body: Bytes,
}

/// How a source proves itself.
#[derive(Debug)]
pub enum Scheme {
    /// Standard Webhooks, symmetric (`v1`).
    StandardWebhooks(StandardWebhooks),
}

/// A delivery whose sender is proven.
///
/// Only [`verify`] can make one, and only from one can the store accept alerts.
#[derive(Debug, Clone)]
pub struct Verified {
    source: SourceName,
    signed_id: SignedId,
    key_id: KeyId,
    signed_at: Timestamp,
    body: Bytes,
}

impl Verified {
    /// The source that proved itself.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// The delivery's id, covered by the signature.
    pub fn signed_id(&self) -> &SignedId {
        &self.signed_id
    }

    /// Which of the source's keys made the signature.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// When the sender says it signed.
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// The body that the signature covers.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Why a delivery was not believed. Senders are told none of this; logs and metrics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// A header that the scheme needs is not there.
    #[error("the {0} header is missing")]
    HeaderMissing(&'static str),
    /// A header that must be there once is there more than once.
    #[error("the {0} header is there more than once")]
    HeaderRepeated(&'static str),
    /// A header is too long, not ASCII, or not of its form.
    #[error("the {0} header is malformed")]
    HeaderMalformed(&'static str),
    /// Signed too long ago.
    #[error("the signature is too old: compare the clocks of sender and bridge, or replay the alert")]
    Stale,
    /// Signed in the future.
    #[error("the signature lies in the future: compare the clocks of sender and bridge")]
    Early,
    /// No key of the source made this signature over these bytes.
    #[error(
        "no key of this source made the signature: compare the secrets, and check that nothing between \
         sender and bridge rewrites the body"
    )]
    Mismatch,
    /// Every key of the source has passed its `not_after`.
    #[error("every key of this source has expired")]
    KeysExpired,
}

impl VerifyError {
    /// Every reason, as metric labels know them.
    pub const REASONS: [&'static str; 7] = [
        "header_missing",
        "header_repeated",
        "header_malformed",
        "stale",
        "early",
        "mismatch",
        "keys_expired",
    ];

    /// Returns the word used as metric label and in logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::HeaderMissing(_) => "header_missing",
            Self::HeaderRepeated(_) => "header_repeated",
            Self::HeaderMalformed(_) => "header_malformed",
            Self::Stale => "stale",
            Self::Early => "early",
            Self::Mismatch => "mismatch",
            Self::KeysExpired => "keys_expired",
        }
    }
}

/// Proves that `source` sent the delivery.
pub fn verify(
    source: &SourceName,
    scheme: &Scheme,
    delivery: &RawDelivery,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    match scheme {
        Scheme::StandardWebhooks(scheme) => scheme.verify(source, delivery, now),
    }
}
