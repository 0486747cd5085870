//! Standard Webhooks, scheme `v1`: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Facts and vectors: specification 1.0.0 and reference/webhook-signing.md, sections A.1 to A.3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use subtle::{Choice, ConstantTimeEq as _};

use crate::alert::{SignedId, SourceName};

use super::{RawDelivery, SigningKey, Verified, VerifyError};

/// The tolerance of every library of the scheme, in both directions.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);

/// How many signatures of one header are tried: each costs a comparison with every key.
const SIGNATURES_MAX: usize = 10;

/// A source that signs by Standard Webhooks.
#[derive(Debug)]
pub struct StandardWebhooks {
    keys: Vec<SigningKey>,
}

/// The three header names of one spelling of the scheme.
struct Names {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

const WEBHOOK: Names =
    Names { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };

const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

impl StandardWebhooks {
    /// Takes the keys that may sign; several during a rotation.
    pub fn new(keys: Vec<SigningKey>) -> Self {
        Self { keys }
    }

    pub(super) fn verify(
        &self,
        source: &SourceName,
        delivery: &RawDelivery,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        let headers = &delivery.headers;
        // Some senders send both spellings of the same values; the standard one counts.
        let names = if headers.contains(WEBHOOK.signature) { WEBHOOK } else { SVIX };
        let names = if headers.contains(names.signature) { names } else { WEBHOOK };
        let id = headers.only(names.id)?;
        let timestamp = headers.only(names.timestamp)?;
        let signatures = candidates(headers.only(names.signature)?);
        let signed_id: SignedId = id.parse().or(Err(VerifyError::HeaderMalformed(names.id)))?;
        let signed_at = seconds(timestamp).ok_or(VerifyError::HeaderMalformed(names.timestamp))?;
        if signatures.is_empty() {
            return Err(VerifyError::HeaderMalformed(names.signature));
        }
        fresh(signed_at, now)?;
        // The header's own bytes are signed, not what was read from them: `+1` and `01` are other texts.
        let signed: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &delivery.body];
        let key = self.matching_key(&signed, &signatures, now)?;
        Ok(Verified {
            source: source.clone(),
            signed_id,
            key_id: key.id().clone(),
            signed_at,
            body: delivery.body.clone(),
        })
    }

    /// Finds the key that made one of the signatures.
    ///
    /// Every key is tried on every signature whatever has matched before, so that the time taken tells
    /// neither which key nor which signature was right.
    fn matching_key(
        &self,
        signed: &[&[u8]],
        signatures: &[[u8; 32]],
        now: Timestamp,
    ) -> Result<&SigningKey, VerifyError> {
        let live: Vec<&SigningKey> = self.keys.iter().filter(|key| key.is_live(now)).collect();
        if live.is_empty() {
            return Err(VerifyError::KeysExpired);
        }
        let matches: Vec<(&SigningKey, Choice)> = live
            .into_iter()
            .map(|key| {
                let mac = key.mac(signed);
                let any =
                    signatures.iter().fold(Choice::from(0), |found, signature| found | mac.ct_eq(signature));
                (key, any)
            })
            .collect();
        let matching = matches.into_iter().find(|(_, found)| bool::from(*found));
        matching.map(|(key, _)| key).ok_or(VerifyError::Mismatch)
    }
}

/// Signs as a sender does; returns the value of the `webhook-signature` header.
pub fn sign(key: &SigningKey, id: &SignedId, at: Timestamp, body: &[u8]) -> String {
    let timestamp = at.as_second().to_string();
    let parts: [&[u8]; 5] = [id.as_str().as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!("v1,{}", STANDARD.encode(key.mac(&parts)))
}

/// Reads the signatures of version `v1`; other versions are skipped, as the specification asks.
fn candidates(header: &str) -> Vec<[u8; 32]> {
    let of_v1 = header.split(' ').filter_map(|item| item.strip_prefix("v1,"));
    let decoded = of_v1.take(SIGNATURES_MAX).filter_map(|text| STANDARD.decode(text).ok());
    decoded.filter_map(|bytes| bytes.try_into().ok()).collect()
}

/// Reads 1 to 12 digits as seconds since 1970.
fn seconds(text: &str) -> Option<Timestamp> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = digits.then(|| text.parse().ok()).flatten()?;
    Timestamp::from_second(seconds).ok()
}

fn fresh(signed_at: Timestamp, now: Timestamp) -> Result<(), VerifyError> {
    // Whole seconds on both sides: 300 s old is the last that is taken.
    let age = SignedDuration::from_secs(now.as_second().saturating_sub(signed_at.as_second()));
    if age > TOLERANCE {
        Err(VerifyError::Stale)
    } else if age < -TOLERANCE {
        Err(VerifyError::Early)
    } else {
        Ok(())
    }
}
