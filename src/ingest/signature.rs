//! The one engine of signatures: finds them where a preset says, and the key that made one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::alert::SignedId;

use super::presets::{Encoding, Form, Preset, TimeAt};
use super::template::{Template, TemplateError};
use super::{Headers, KeyId, Proof, RawDelivery, SigningKey, VerifyError, freshness};

/// How many signatures of one header are tried: each costs a comparison with every key.
const SIGNATURES_MAX: usize = 10;

/// How long a signature by ed25519 is (RFC 8032, section 5.1.6).
const ED25519_BYTES: usize = 64;

/// How a source signs, and the keys that it may sign with.
#[derive(Debug)]
pub struct Signature {
    preset: Preset,
    template: Template,
    keys: Vec<SigningKey>,
}

/// A signature found in a header, not yet held against any key.
struct Candidate {
    kind: Kind,
    bytes: Vec<u8>,
}

/// What made a signature.
#[derive(Clone, Copy)]
enum Kind {
    Mac,
    Ed25519,
}

impl Signature {
    /// Takes a row and the keys that may sign; several during a rotation.
    pub fn new(preset: Preset, keys: Vec<SigningKey>) -> Result<Self, TemplateError> {
        let template = preset.signed_content.parse()?;
        Ok(Self { preset, template, keys })
    }

    pub(super) fn keys(&self) -> Vec<(KeyId, Option<Timestamp>)> {
        self.keys.iter().map(|key| (key.id().clone(), key.not_after())).collect()
    }

    /// Says whether a delivery that is proven is the sender's test.
    pub(super) fn is_test(&self, headers: &Headers) -> bool {
        self.preset.test.is_some_and(|(name, value)| headers.only(name) == Ok(value))
    }

    /// Says whether the signature covers a time: without one, an old delivery can be sent again.
    pub fn signs_time(&self) -> bool {
        self.template.has_timestamp()
    }

    pub(super) fn prove(&self, delivery: &RawDelivery, now: Timestamp) -> Result<Proof, VerifyError> {
        let headers = &delivery.headers;
        let name = |name: &String| self.spelled(headers, name);
        let header = name(&self.preset.header);
        let value = headers.only(&header)?;
        let malformed = |header: &str| VerifyError::HeaderMalformed(header.to_owned());
        let candidates = self.candidates(value);
        if candidates.is_empty() {
            return Err(malformed(&header));
        }
        let id_header = self.preset.id_header.as_ref().map(name);
        let id = id_header.as_deref().map(|header| headers.only(header)).transpose()?.unwrap_or_default();
        let signed_id: Option<SignedId> = match &id_header {
            Some(header) => Some(id.parse().or(Err(malformed(header)))?),
            None => None,
        };
        let (time, signed_at) = self.time(headers, value, now)?;
        // The header's own bytes are signed, not what was read from them: `+1` and `01` are other texts.
        let signed = self.template.fill(id, &time, &delivery.body);
        let key = self.matching_key(&signed, &candidates, now)?;
        Ok(Proof { key_id: key.id().clone(), signed_id, signed_at })
    }

    /// Returns a header's name in the spelling that the sender uses.
    ///
    /// Some senders send both spellings of the same values; the preset's own counts.
    fn spelled(&self, headers: &Headers, name: &str) -> String {
        let Some((own, other)) = self.preset.other_spelling else {
            return name.to_owned();
        };
        let in_other = |name: &str| match name.strip_prefix(own) {
            Some(rest) => format!("{other}{rest}"),
            None => name.to_owned(),
        };
        let signature = &self.preset.header;
        if !headers.contains(signature) && headers.contains(&in_other(signature)) {
            in_other(name)
        } else {
            name.to_owned()
        }
    }

    /// Reads the time, as text and as what it means, and refuses one that is too far from now.
    fn time(
        &self,
        headers: &Headers,
        signature: &str,
        now: Timestamp,
    ) -> Result<(String, Option<Timestamp>), VerifyError> {
        let Some(field) = &self.preset.timestamp else {
            return Ok((String::new(), None));
        };
        let (header, text) = match &field.at {
            TimeAt::Header(name) => {
                let name = self.spelled(headers, name);
                let text = headers.only(&name)?.to_owned();
                (name, text)
            }
            TimeAt::Pair(key) => {
                let header = self.preset.header.clone();
                let mut found = pairs(signature).filter(|(have, _)| have == key).map(|(_, value)| value);
                let text = found.next().ok_or_else(|| VerifyError::HeaderMalformed(header.clone()))?;
                if found.next().is_some() {
                    return Err(VerifyError::HeaderRepeated(header));
                }
                (header, text.to_owned())
            }
        };
        let signed_at = field.format.read(&text).ok_or(VerifyError::HeaderMalformed(header))?;
        freshness::check(signed_at, field.tolerance, now)?;
        Ok((text, Some(signed_at)))
    }

    /// Reads the signatures; what is of another version is skipped, as the schemes ask.
    fn candidates(&self, header: &str) -> Vec<Candidate> {
        let items: Vec<&str> = match &self.preset.form {
            Form::List { separator: Some(separator), .. } => header.split(*separator).collect(),
            Form::List { separator: None, .. } => vec![header],
            Form::Pairs { .. } => header.split(',').collect(),
        };
        let tagged = items.into_iter().filter_map(|item| self.tagged(item)).take(SIGNATURES_MAX);
        tagged.filter_map(|(kind, text)| self.decoded(kind, text)).collect()
    }

    /// Takes the text of a signature out of one item; `None` if the item is of another version.
    fn tagged<'h>(&self, item: &'h str) -> Option<(Kind, &'h str)> {
        let ed25519 = self.preset.ed25519_prefix.and_then(|prefix| item.strip_prefix(prefix));
        if let Some(text) = ed25519 {
            return Some((Kind::Ed25519, text));
        }
        let text = match &self.preset.form {
            Form::List { prefix, .. } => item.strip_prefix(prefix.as_str())?,
            Form::Pairs { key } => item.strip_prefix(key.as_str())?.strip_prefix('=')?,
        };
        Some((Kind::Mac, text))
    }

    /// Reads a signature that is written in the one way that is taken, so that one signature has one text.
    fn decoded(&self, kind: Kind, text: &str) -> Option<Candidate> {
        let (encoding, length) = match kind {
            Kind::Mac => (self.preset.encoding, self.preset.algorithm.bytes()),
            Kind::Ed25519 => (Encoding::Base64, ED25519_BYTES),
        };
        let bytes = match encoding {
            Encoding::Base64 => STANDARD.decode(text).ok()?,
            Encoding::Hex if text.bytes().any(|b| b.is_ascii_uppercase()) => return None,
            Encoding::Hex => hex::decode(text).ok()?,
        };
        (bytes.len() == length).then_some(Candidate { kind, bytes })
    }

    /// Finds the key that made one of the signatures.
    ///
    /// Every key is tried on every signature whatever has matched before, so that the time taken tells
    /// neither which key nor which signature was right.
    fn matching_key(
        &self,
        signed: &[&[u8]],
        candidates: &[Candidate],
        now: Timestamp,
    ) -> Result<&SigningKey, VerifyError> {
        let live: Vec<&SigningKey> = self.keys.iter().filter(|key| key.is_live(now)).collect();
        if live.is_empty() {
            return Err(VerifyError::KeysExpired);
        }
        let made_one = |key: &SigningKey| {
            let mac = key.mac(self.preset.algorithm, signed);
            let one = |candidate: &Candidate| match (candidate.kind, &mac) {
                (Kind::Mac, Some(mac)) => candidate.bytes.ct_eq(mac),
                (Kind::Ed25519, None) => Choice::from(u8::from(key.verifies(signed, &candidate.bytes))),
                (Kind::Mac, None) | (Kind::Ed25519, Some(_)) => Choice::from(0),
            };
            candidates.iter().map(one).fold(Choice::from(0), |any, one| any | one)
        };
        // The place of the matching key is picked without a branch on what matched.
        let mut place = u64::MAX;
        for (n, key) in (0_u64..).zip(&live) {
            place.conditional_assign(&n, made_one(key));
        }
        let matching = usize::try_from(place).ok().and_then(|place| live.get(place));
        matching.copied().ok_or(VerifyError::Mismatch)
    }
}

/// The pairs of a header such as `t=1614265330,v1=5257a869`.
fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split(',').filter_map(|item| item.split_once('='))
}

/// Signs by Standard Webhooks as a sender does; returns the value of the `webhook-signature` header.
pub fn sign(key: &SigningKey, id: &SignedId, at: Timestamp, body: &[u8]) -> String {
    let timestamp = at.as_second().to_string();
    let parts: [&[u8]; 5] = [id.as_str().as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let mac = key.mac(super::Algorithm::Sha256, &parts).unwrap_or_default();
    format!("v1,{}", STANDARD.encode(mac))
}
