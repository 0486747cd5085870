//! Tokens that senders show without signing anything: bearer, a named header, basic, the last part of the path.
//!
//! Whoever has seen one delivery can make others, so these need `accept_unsigned` (reference/webhook-signing.md, B.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::{KeyId, RawDelivery, VerifyError};

/// Where a sender shows its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// A header of this lower-case name, the token alone.
    Header(String),
    /// `Authorization: Basic`, user and password in base64 (RFC 7617).
    Basic,
    /// The last part of the path, for senders that can set nothing but an address.
    Path,
}

/// Why a text cannot be a token. Never holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too few or too many characters.
    #[error("the token has {found} characters; {wanted} are taken")]
    Length {
        /// How many it has.
        found: usize,
        /// How many it may have.
        wanted: &'static str,
    },
    /// Characters that do not travel in a header or a path.
    #[error("the token holds something else than {0}")]
    Characters(&'static str),
    /// Not a user and a password.
    #[error("the file does not hold user:password")]
    NotUserAndPassword,
}

/// One token of a source. Only its digest is kept, so that comparing tells nothing of length or content.
#[derive(Clone)]
pub struct StaticToken {
    id: KeyId,
    sha256: [u8; 32],
    not_after: Option<Timestamp>,
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl StaticToken {
    /// Reads the text of a secret file: a token, or `user:password` for [`Place::Basic`].
    pub fn read(
        secret: &SecretString,
        place: &Place,
        not_after: Option<Timestamp>,
    ) -> Result<Self, TokenError> {
        let text = secret.expose_secret();
        let checked = if *place == Place::Basic {
            text.split_once(':').ok_or(TokenError::NotUserAndPassword)?.1
        } else {
            text
        };
        let found = checked.chars().count();
        let (is_long_enough, wanted) = match place {
            Place::Path => ((32..=256).contains(&found), "32 to 256"),
            Place::Bearer | Place::Header(_) | Place::Basic => ((16..=1024).contains(&found), "16 to 1024"),
        };
        if !is_long_enough {
            return Err(TokenError::Length { found, wanted });
        }
        let in_path = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if *place == Place::Path && !text.bytes().all(in_path) {
            return Err(TokenError::Characters("letters, digits, - and _"));
        }
        if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(TokenError::Characters("printable ASCII"));
        }
        let sha256: [u8; 32] = Sha256::digest(text).into();
        Ok(Self { id: KeyId::of_public(&sha256), sha256, not_after })
    }
}

/// Returns what tells the tokens apart.
pub(super) fn keys(tokens: &[StaticToken]) -> Vec<(KeyId, Option<Timestamp>)> {
    tokens.iter().map(|token| (token.id.clone(), token.not_after)).collect()
}

/// Finds the token that was shown.
///
/// Every token is compared whatever has matched before, so that the time taken tells nothing.
pub(super) fn find(tokens: &[StaticToken], shown: &[u8], now: Timestamp) -> Result<KeyId, VerifyError> {
    let shown: [u8; 32] = Sha256::digest(shown).into();
    let live = tokens.iter().filter(|token| token.not_after.is_none_or(|end| now <= end));
    let compared: Vec<(&StaticToken, Choice)> =
        live.map(|token| (token, token.sha256.ct_eq(&shown))).collect();
    if compared.is_empty() {
        return Err(VerifyError::KeysExpired);
    }
    let matching = compared.into_iter().find(|(_, same)| bool::from(*same));
    matching.map(|(token, _)| token.id.clone()).ok_or(VerifyError::Mismatch)
}

/// Where a source shows its token, and the tokens that it may show.
#[derive(Debug)]
pub struct Tokens {
    place: Place,
    tokens: Vec<StaticToken>,
}

impl Tokens {
    /// Takes the tokens that may be shown; several during a rotation.
    pub fn new(place: Place, tokens: Vec<StaticToken>) -> Self {
        Self { place, tokens }
    }

    pub(super) fn keys(&self) -> Vec<(KeyId, Option<Timestamp>)> {
        keys(&self.tokens)
    }

    /// Says whether the token is a part of the source's address.
    pub(super) fn is_in_path(&self) -> bool {
        self.place == Place::Path
    }

    pub(super) fn prove(&self, delivery: &RawDelivery, now: Timestamp) -> Result<KeyId, VerifyError> {
        find(&self.tokens, &self.shown(delivery)?, now)
    }

    /// Returns the token that the delivery shows.
    fn shown(&self, delivery: &RawDelivery) -> Result<Vec<u8>, VerifyError> {
        let malformed = || VerifyError::HeaderMalformed("authorization".to_owned());
        let authorization = |scheme: &str| -> Result<&str, VerifyError> {
            let value = delivery.headers.only("authorization")?;
            let (have, credentials) = value.split_once(' ').ok_or_else(malformed)?;
            if have.eq_ignore_ascii_case(scheme) { Ok(credentials) } else { Err(malformed()) }
        };
        match &self.place {
            Place::Bearer => Ok(authorization("bearer")?.as_bytes().to_vec()),
            Place::Header(name) => Ok(delivery.headers.only(name)?.as_bytes().to_vec()),
            Place::Basic => STANDARD.decode(authorization("basic")?).or(Err(malformed())),
            Place::Path => match &delivery.path_token {
                Some(token) => Ok(token.expose_secret().as_bytes().to_vec()),
                None => Err(VerifyError::HeaderMissing("path token".to_owned())),
            },
        }
    }
}
