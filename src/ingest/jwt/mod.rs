//! Access tokens of OpenID Connect issuers: the scheme `jwt`, by which one proves a sender such as a managed identity, and
//! callers of the API, whose app roles say what they may.
//!
//! The token proves who calls, not what the body says: TLS carries the rest. Facts: RFC 7519, RFC 8725, RFC 9068, and
//! reference/webhook-signing.md, section B.2.

mod issuer;
mod key_set;
mod principal;
mod token;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{after, before};

use super::{KeyId, RawDelivery, VerifyError};

pub use issuer::{Issuer, KeyAddress};
pub use key_set::{Algorithm, KeySet, KeySetError, UnknownAlgorithm};
pub use principal::{Identity, Proven};

use token::{Claims, Token};

/// How far the issuer's clock may be off.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The longest token taken. Those of managed identities have about 2 KiB.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What stands before the token.
const BEARER: &str = "Bearer ";

/// The longest value of the `Authorization` header that may hold a token.
pub const AUTHORIZATION_BYTES_MAX: usize = TOKEN_BYTES_MAX + BEARER.len();

/// The claims that name a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerClaim {
    /// The application's id, in Entra ID's tokens of version 1.
    Appid,
    /// The application's id, in Entra ID's tokens of version 2.
    Azp,
    /// The object id of the identity itself.
    Oid,
    /// The subject.
    Sub,
}

impl CallerClaim {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 4] = [Self::Appid, Self::Azp, Self::Oid, Self::Sub];

    /// Returns the claim's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appid => "appid",
            Self::Azp => "azp",
            Self::Oid => "oid",
            Self::Sub => "sub",
        }
    }
}

/// A caller on the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The claim that names it.
    pub claim: CallerClaim,
    /// The claim's value, exactly.
    pub value: String,
}

/// What a token must say. With an empty list of audiences, algorithms or callers no token is good.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// Who must have issued it.
    pub issuer: Issuer,
    /// Whom it must be for: one of these, and nobody besides.
    pub audiences: Vec<String>,
    /// How it may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Who may call; one claim that fits is enough.
    pub callers: Vec<Caller>,
    /// The app roles that it must have, every one.
    pub roles: Vec<String>,
    /// How long ago it may have been issued, however long it is good for.
    pub max_age: Option<SignedDuration>,
}

/// Why a token proves nothing. Never holds anything of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JwtError {
    /// Not a signed JSON Web Token of the form that is taken.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Signed with an algorithm that the source does not allow.
    #[error("the token's algorithm is not allowed: compare it with the source's algorithms")]
    Algorithm,
    /// Of another issuer.
    #[error(
        "the token is of another issuer: compare its iss, letter by letter, with the source's issuer (Entra ID has one for \
         version 1 and one for version 2)"
    )]
    Issuer,
    /// For somebody else, or for others besides.
    #[error("the token is not for this service alone: compare its aud with the source's audience")]
    Audience,
    /// Past its end, or older than the source allows.
    #[error("the token has expired or is too old: let the sender fetch a new one, and compare the clocks")]
    Expired,
    /// Not yet good, or issued in the future.
    #[error("the token is not yet good: compare the clocks of issuer and bridge")]
    Early,
    /// Of a caller who is not on the list.
    #[error("the token's caller is not on the source's list: compare its appid, azp, oid and sub with allow")]
    Caller,
    /// Without a role that the source asks for.
    #[error("the token lacks a role of the source's roles: assign it to the caller at the issuer")]
    Role,
    /// Signed with a key that is not in the issuer's set.
    #[error("the token's key is not one of the issuer's: its kid is not in the set, or is there twice")]
    KeyUnknown,
    /// The key is there, but is not for this algorithm.
    #[error("the token's key is not for its algorithm")]
    KeyUnfit,
    /// Of another tenant.
    #[error("the token is of another tenant: compare its tid with the tenant that is configured")]
    Tenant,
    /// Not an access token.
    #[error(
        "the token is no access token of version 2: the caller must ask for one for the scope of this service (AUDIENCE/.default)"
    )]
    NoAccessToken,
    /// The key did not make the signature.
    #[error("the token's signature does not hold: it was changed, or not made by the issuer")]
    Signature,
}

impl JwtError {
    /// Every reason, as metric labels know them.
    pub const REASONS: [&'static str; 13] = [
        "token_malformed",
        "token_algorithm",
        "token_issuer",
        "token_audience",
        "token_expired",
        "token_early",
        "token_caller",
        "token_role",
        "token_key_unknown",
        "token_key_unfit",
        "token_tenant",
        "token_no_access",
        "token_signature",
    ];

    /// Returns the word used as metric label and in logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::Early => "token_early",
            Self::Caller => "token_caller",
            Self::Role => "token_role",
            Self::KeyUnknown => "token_key_unknown",
            Self::KeyUnfit => "token_key_unfit",
            Self::Tenant => "token_tenant",
            Self::NoAccessToken => "token_no_access",
            Self::Signature => "token_signature",
        }
    }
}

impl Jwt {
    pub(super) fn key_ids(&self) -> Vec<KeyId> {
        self.callers.iter().map(|caller| KeyId::of_caller(&caller.value)).collect()
    }

    /// Proves the caller of a delivery.
    pub(super) fn prove(
        &self,
        delivery: &RawDelivery,
        keys: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<KeyId, VerifyError> {
        let authorization = delivery.headers.only_within("authorization", AUTHORIZATION_BYTES_MAX)?;
        let keys = keys.ok_or(JwtError::KeyUnknown)?;
        let caller = self.check(authorization, keys, now)?;
        Ok(KeyId::of_caller(&caller.value))
    }

    /// Checks the value of an `Authorization` header; returns the caller on the list.
    ///
    /// # Errors
    ///
    /// [`JwtError::KeyUnknown`] only for a token that is good in all but its key: then, and only then, is it worth
    /// asking the issuer for new keys.
    pub fn check(&self, authorization: &str, keys: &KeySet, now: Timestamp) -> Result<&Caller, JwtError> {
        let (token, caller) = read(authorization, &self.algorithms, |claims| self.claims(claims, now))?;
        is_signed(&token, keys)?;
        Ok(caller)
    }

    fn claims(&self, claims: &Claims, now: Timestamp) -> Result<&Caller, JwtError> {
        is_ours(claims, &self.issuer, &self.audiences)?;
        self.time(claims, now)?;
        let caller = self.caller(claims)?;
        let has = claims.texts("roles")?;
        if !self.roles.iter().all(|role| has.contains(&role.as_str())) {
            return Err(JwtError::Role);
        }
        Ok(caller)
    }

    /// Checks when the token is good.
    fn time(&self, claims: &Claims, now: Timestamp) -> Result<(), JwtError> {
        let good = is_good_now(claims, now)?;
        let oldest = self.max_age.map(|age| before(before(now, age), LEEWAY));
        if oldest.is_some_and(|oldest| good.since < oldest) {
            return Err(JwtError::Expired);
        }
        Ok(())
    }

    fn caller(&self, claims: &Claims) -> Result<&Caller, JwtError> {
        for claim in CallerClaim::ALL {
            let value = claims.text(claim.as_str())?;
            let fits = |caller: &&Caller| caller.claim == claim && value == Some(caller.value.as_str());
            if let Some(caller) = self.callers.iter().find(fits) {
                return Ok(caller);
            }
        }
        Err(JwtError::Caller)
    }
}

/// Reads the value of an `Authorization` header, and judges what it says. Who has signed it is not looked at.
fn read<'a, T>(
    authorization: &'a str,
    algorithms: &[Algorithm],
    judge: impl FnOnce(&Claims) -> Result<T, JwtError>,
) -> Result<(Token<'a>, T), JwtError> {
    // Written as every client writes it. RFC 7235 would allow other cases; no sender uses them.
    let text = authorization.strip_prefix(BEARER).ok_or(JwtError::Malformed("it is no bearer token"))?;
    let token = Token::read(text)?;
    if !algorithms.contains(&token.algorithm) {
        return Err(JwtError::Algorithm);
    }
    let judged = judge(&token.claims)?;
    Ok((token, judged))
}

/// Checks that a key of the issuer has signed a token.
fn is_signed(token: &Token<'_>, keys: &KeySet) -> Result<(), JwtError> {
    let key = keys.key(&token.kid).ok_or(JwtError::KeyUnknown)?;
    if !key.is_for(token.algorithm) {
        return Err(JwtError::KeyUnfit);
    }
    if !key.verifies(token.algorithm, token.signed, token.signature) {
        return Err(JwtError::Signature);
    }
    Ok(())
}

/// Checks who issued a token, and for whom.
fn is_ours(claims: &Claims, issuer: &Issuer, audiences: &[String]) -> Result<(), JwtError> {
    if claims.text("iss")? != Some(issuer.name.as_str()) {
        return Err(JwtError::Issuer);
    }
    // One that is for others too could be sent on by each of them.
    match claims.texts("aud")?.as_slice() {
        [only] if audiences.iter().any(|ours| ours == only) => Ok(()),
        _ => Err(JwtError::Audience),
    }
}

/// When a token is good.
struct Good {
    since: Timestamp,
    until: Timestamp,
}

/// Checks that a token is good now, as far as its issuer says.
fn is_good_now(claims: &Claims, now: Timestamp) -> Result<Good, JwtError> {
    let until = claims.time("exp")?.ok_or(JwtError::Malformed("it has no exp"))?;
    let (not_before, issued_at) = (claims.time("nbf")?, claims.time("iat")?);
    let since = issued_at.or(not_before).ok_or(JwtError::Malformed("it has neither iat nor nbf"))?;
    if before(now, LEEWAY) >= until {
        return Err(JwtError::Expired);
    }
    let soon = after(now, LEEWAY);
    if [not_before, issued_at].into_iter().flatten().any(|start| start > soon) {
        return Err(JwtError::Early);
    }
    Ok(Good { since, until })
}

impl fmt::Display for CallerClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
