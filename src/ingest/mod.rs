//! Proves who sent a delivery: headers and raw bytes in, `Verified` or a reason out.
//!
//! Pure: `now` is an argument. Nothing of a body is read before its signature holds, where the sender signs.

mod client_state;
mod error;
mod freshness;
mod headers;
pub mod jwt;
mod key;
mod peer;
mod presets;
mod signature;
mod template;
mod token;

use std::fmt;

use bytes::Bytes;
use ipnet::IpNet;
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::alert::{SignedId, SourceName, Traceparent};

use jwt::{Issuer, Jwt, KeySet};

pub use client_state::ClientStates;
pub use error::VerifyError;
pub use freshness::TimeFormat;
pub use headers::Headers;
pub use key::{Algorithm, KeyError, KeyId, SecretEncoding, SigningKey};
pub use peer::{Certificates, ClientCertificate, Peer};
pub use presets::{Encoding, Form, HMAC, PRESETS, Preset, STANDARD_WEBHOOKS, TOLERANCE, TimeAt, TimeField};
pub use signature::{Signature, sign};
pub use template::{Template, TemplateError};
pub use token::{Place, StaticToken, TokenError, Tokens};

/// One HTTP request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub struct RawDelivery {
    /// All headers, in order.
    pub headers: Headers,
    /// The body's bytes, neither decompressed nor decoded.
    pub body: Bytes,
    /// The other end of the connection.
    pub peer: Peer,
    /// The part of the path after the source's name, if there is one.
    pub path_token: Option<SecretString>,
    /// The token of the API that the caller was admitted by, if it was by one that is bound to a source.
    pub api_token: Option<ApiToken>,
}

/// A token of the API that was found good, bound to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its public part.
    pub id: String,
    /// The source for which it may ask for actions.
    pub source: SourceName,
}

/// One way in which a source proves itself.
#[derive(Debug)]
pub enum Scheme {
    /// It signs the body. Boxed, for it is much larger than the others.
    Signature(Box<Signature>),
    /// It shows a token.
    Tokens(Tokens),
    /// It shows a client certificate.
    Certificates(Certificates),
    /// It repeats the client state of a Graph subscription.
    ClientStates(ClientStates),
    /// It shows a token of an issuer.
    Jwt(Box<Jwt>),
    /// It asks for actions by the API, with a token that is bound to it. No delivery proves that.
    ApiTokens,
}

/// What a scheme found out about a delivery that it believes.
struct Proof {
    key_id: KeyId,
    signed_id: Option<SignedId>,
    signed_at: Option<Timestamp>,
}

impl From<KeyId> for Proof {
    /// A proof of who sends, and of nothing that is sent.
    fn from(key_id: KeyId) -> Self {
        Self { key_id, signed_id: None, signed_at: None }
    }
}

impl Scheme {
    /// Says whether the scheme covers the body: if not, whoever has seen one delivery can make others.
    pub fn signs_body(&self) -> bool {
        matches!(self, Self::Signature(_))
    }

    fn keys(&self) -> Vec<(KeyId, Option<Timestamp>)> {
        let endless = |ids: Vec<KeyId>| ids.into_iter().map(|id| (id, None)).collect();
        match self {
            Self::Signature(signature) => signature.keys(),
            Self::Tokens(tokens) => tokens.keys(),
            Self::Certificates(certificates) => endless(certificates.key_ids()),
            Self::ClientStates(states) => states.keys(),
            Self::Jwt(jwt) => endless(jwt.key_ids()),
            Self::ApiTokens => Vec::new(),
        }
    }

    fn prove(
        &self,
        source: &SourceName,
        delivery: &RawDelivery,
        keys: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Proof, VerifyError> {
        match self {
            Self::Signature(signature) => signature.prove(delivery, now),
            Self::Tokens(tokens) => tokens.prove(delivery, now).map(Proof::from),
            Self::Certificates(certificates) => certificates.prove(&delivery.peer).map(Proof::from),
            Self::ClientStates(states) => states.prove(delivery, now).map(Proof::from),
            Self::Jwt(jwt) => jwt.prove(delivery, keys, now).map(Proof::from),
            Self::ApiTokens => match &delivery.api_token {
                Some(token) if token.source == *source => Ok(KeyId::of_caller(&token.id).into()),
                _ => Err(VerifyError::ApiToken),
            },
        }
    }
}

/// All that a source must show to be believed.
#[derive(Debug)]
pub struct Gate {
    schemes: Vec<Scheme>,
    networks: Vec<IpNet>,
}

impl Gate {
    /// Asks for every one of these schemes, and, if there are any, for an address in one of these networks.
    ///
    /// `first` is what is told of in logs and metrics.
    pub fn new(first: Scheme, more: Vec<Scheme>, networks: Vec<IpNet>) -> Self {
        let mut schemes = vec![first];
        schemes.extend(more);
        Self { schemes, networks }
    }

    /// Asks for a signature by Standard Webhooks.
    pub fn standard_webhooks(keys: Vec<SigningKey>) -> Result<Self, TemplateError> {
        let signature = Signature::new(STANDARD_WEBHOOKS.owned(), keys)?;
        Ok(Self::new(Scheme::Signature(Box::new(signature)), Vec::new(), Vec::new()))
    }

    /// Returns the ids that [`Verified::key_id`] can have here, but for certificates that are bound by name.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys().into_iter().map(|(id, _)| id).collect()
    }

    /// Returns the same, each with its end if it has one.
    pub fn keys(&self) -> Vec<(KeyId, Option<Timestamp>)> {
        self.schemes.first().map(Scheme::keys).unwrap_or_default()
    }

    /// Says whether certificates are bound by name, or tokens of the API by their source: then their ids are not known
    /// before they come.
    pub fn binds_names(&self) -> bool {
        let binds = |scheme: &Scheme| match scheme {
            Scheme::Certificates(certificates) => !certificates.names.is_empty(),
            Scheme::ApiTokens => true,
            Scheme::Signature(_) | Scheme::Tokens(_) | Scheme::ClientStates(_) | Scheme::Jwt(_) => false,
        };
        self.schemes.first().is_some_and(binds)
    }

    /// Says whether a scheme covers the body.
    pub fn signs_body(&self) -> bool {
        self.schemes.iter().any(Scheme::signs_body)
    }

    /// Says whether the source's address has its token as a last part.
    pub fn has_path_token(&self) -> bool {
        self.schemes.iter().any(|scheme| matches!(scheme, Scheme::Tokens(tokens) if tokens.is_in_path()))
    }

    /// Says whether the source asks for actions by the API, and delivers nothing.
    pub fn takes_api_tokens(&self) -> bool {
        self.schemes.iter().any(|scheme| matches!(scheme, Scheme::ApiTokens))
    }

    /// Says whether the sender asks first whether it is meant, as Microsoft Graph does.
    pub fn answers_validation(&self) -> bool {
        self.schemes.iter().any(|scheme| matches!(scheme, Scheme::ClientStates(_)))
    }

    /// The issuer whose keys tell whether a token of this gate is good, if the gate asks for one.
    pub fn issuer(&self) -> Option<&Issuer> {
        self.schemes.iter().find_map(|scheme| match scheme {
            Scheme::Jwt(jwt) => Some(&jwt.issuer),
            Scheme::Signature(_)
            | Scheme::Tokens(_)
            | Scheme::Certificates(_)
            | Scheme::ClientStates(_)
            | Scheme::ApiTokens => None,
        })
    }

    /// Says whether a delivery that is proven is its sender's test: answered, and not acted upon.
    pub fn is_test(&self, headers: &Headers) -> bool {
        let is_test = |scheme: &Scheme| match scheme {
            Scheme::Signature(signature) => signature.is_test(headers),
            Scheme::Tokens(_)
            | Scheme::Certificates(_)
            | Scheme::ClientStates(_)
            | Scheme::Jwt(_)
            | Scheme::ApiTokens => false,
        };
        self.schemes.iter().any(is_test)
    }
}

/// What tells whether a delivery is known already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeliveryKey {
    /// The sender's id, covered by the signature.
    Signed(SignedId),
    /// The digest of the body. An id that is not signed could be changed by whoever sends a delivery again.
    Body([u8; 32]),
}

impl fmt::Display for DeliveryKey {
    /// Writes the text under which the delivery is kept. A signed id holds no colon, so the two are never the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(id) => write!(f, "{id}"),
            Self::Body(digest) => write!(f, "sha256:{}", hex::encode(digest)),
        }
    }
}

/// A delivery whose sender is proven.
///
/// Only [`verify`] can make one, and only from one can the store accept alerts.
#[derive(Debug, Clone)]
pub struct Verified {
    source: SourceName,
    key: DeliveryKey,
    key_id: KeyId,
    signed_at: Option<Timestamp>,
    body: Bytes,
    body_sha256: [u8; 32],
    traceparent: Option<Traceparent>,
}

impl Verified {
    /// The source that proved itself.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// What tells whether the delivery is known already.
    pub fn key(&self) -> &DeliveryKey {
        &self.key
    }

    /// Which of the source's keys, tokens or certificates proved it.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// When the sender says it signed, if it signs a time.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The sender's place in a trace of its own. It is not proven, and nothing goes by it.
    pub fn traceparent(&self) -> Option<&Traceparent> {
        self.traceparent.as_ref()
    }

    /// SHA-256 of the body.
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }
}

/// Proves that `source` sent the delivery: the address first, then every scheme of its gate.
///
/// No token of an issuer is good here; [`verify_with_keys`] is for gates that ask for one.
pub fn verify(
    source: &SourceName,
    gate: &Gate,
    delivery: &RawDelivery,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    prove(source, gate, delivery, None, now)
}

/// The same for a gate that has an issuer, with that issuer's keys.
pub fn verify_with_keys(
    source: &SourceName,
    gate: &Gate,
    delivery: &RawDelivery,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    prove(source, gate, delivery, Some(keys), now)
}

fn prove(
    source: &SourceName,
    gate: &Gate,
    delivery: &RawDelivery,
    keys: Option<&KeySet>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    if !peer::is_allowed(&gate.networks, &delivery.peer) {
        return Err(VerifyError::AddressNotAllowed);
    }
    let proofs: Result<Vec<Proof>, VerifyError> =
        gate.schemes.iter().map(|scheme| scheme.prove(source, delivery, keys, now)).collect();
    let proofs = proofs?;
    let key_id = proofs.first().map(|proof| proof.key_id.clone()).ok_or(VerifyError::KeysExpired)?;
    let signed_at = proofs.iter().find_map(|proof| proof.signed_at);
    let signed_id = proofs.into_iter().find_map(|proof| proof.signed_id);
    let body_sha256: [u8; 32] = Sha256::digest(&delivery.body).into();
    let key = signed_id.map_or(DeliveryKey::Body(body_sha256), DeliveryKey::Signed);
    let traceparent = delivery.headers.only("traceparent").ok().and_then(|value| value.parse().ok());
    let (source, body) = (source.clone(), delivery.body.clone());
    Ok(Verified { source, key, key_id, signed_at, body, body_sha256, traceparent })
}
