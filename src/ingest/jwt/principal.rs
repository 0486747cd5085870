//! Callers of the API that an issuer knows: who they are, and which app roles they have.

use jiff::Timestamp;

use crate::alert::{Principal, PrincipalId, after};

use super::token::Claims;
use super::{Algorithm, Issuer, JwtError, KeySet, LEEWAY, is_good_now, is_ours, is_signed, read};

/// Claims that ID tokens have and access tokens have not: an ID token is for the client that signs somebody in, and proves
/// nothing to anybody else (OpenID Connect Core 1.0, sections 2 and 3.3.2.11).
const OF_ID_TOKENS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// What a caller's token must say. With an empty list of audiences or algorithms no token is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who must have issued it.
    pub issuer: Issuer,
    /// Whom it must be for: one of these, and nobody besides.
    pub audiences: Vec<String>,
    /// How it may be signed.
    pub algorithms: Vec<Algorithm>,
    /// The tenant that it must be of, if the issuer is Entra ID. Then it must be an access token of version 2.
    pub tenant: Option<String>,
    /// Where it names the caller's roles.
    pub roles: String,
}

/// Who a token proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Who it is.
    pub principal: Principal,
    /// The roles that the issuer gave.
    pub roles: Vec<String>,
    /// How long the token is good, the leeway included.
    pub until: Timestamp,
}

impl Identity {
    /// Checks the value of an `Authorization` header.
    ///
    /// # Errors
    ///
    /// [`JwtError::KeyUnknown`] only for a token that is good in all but its key, as with [`super::Jwt::check`].
    pub fn check(&self, authorization: &str, keys: &KeySet, now: Timestamp) -> Result<Proven, JwtError> {
        let (token, proven) = read(authorization, &self.algorithms, |claims| self.proven(claims, now))?;
        is_signed(&token, keys)?;
        Ok(proven)
    }

    /// Checks what a token says. Only with one that says the right things does it matter which keys the issuer has.
    pub fn check_claims(&self, authorization: &str, now: Timestamp) -> Result<(), JwtError> {
        read(authorization, &self.algorithms, |claims| self.proven(claims, now)).map(drop)
    }

    fn proven(&self, claims: &Claims, now: Timestamp) -> Result<Proven, JwtError> {
        is_ours(claims, &self.issuer, &self.audiences)?;
        let until = after(is_good_now(claims, now)?.until, LEEWAY);
        if OF_ID_TOKENS.iter().any(|claim| claims.has(claim)) {
            return Err(JwtError::NoAccessToken);
        }
        let id = match &self.tenant {
            Some(tenant) => of_entra(claims, tenant)?,
            None => format!("{}/{}", self.issuer.name, subject(claims, "sub")?),
        };
        let id: PrincipalId = id.parse().or(Err(JwtError::Malformed("its oid or sub is no plain text")))?;
        let roles = claims.texts(&self.roles)?.into_iter().map(ToOwned::to_owned).collect();
        Ok(Proven { principal: Principal::new(id, shown(claims)?.unwrap_or_default()), roles, until })
    }
}

/// Entra ID: `oid` is one principal in the whole tenant, while `sub` is another for each application.
fn of_entra(claims: &Claims, tenant: &str) -> Result<String, JwtError> {
    if claims.text("tid")? != Some(tenant) {
        return Err(JwtError::Tenant);
    }
    // Its ID tokens have no azp.
    if claims.text("ver")? != Some("2.0") || claims.text("azp")?.is_none() {
        return Err(JwtError::NoAccessToken);
    }
    Ok(format!("{tenant}/{}", subject(claims, "oid")?))
}

fn subject<'a>(claims: &'a Claims, claim: &'static str) -> Result<&'a str, JwtError> {
    let none = JwtError::Malformed("it does not say who the caller is (oid or sub)");
    claims.text(claim)?.filter(|text| !text.is_empty()).ok_or(none)
}

/// The name by which people know the caller: the issuer's, or that of an application that speaks for itself.
///
/// A person's token may come without one, and the application's is not theirs: whoever they are would not be seen.
fn shown(claims: &Claims) -> Result<Option<&str>, JwtError> {
    if let Some(name) = claims.text("preferred_username")? {
        return Ok(Some(name));
    }
    if !is_of_an_application(claims)? {
        return Ok(None);
    }
    Ok(claims.text("azp")?.or(claims.text("client_id")?))
}

/// Says whether nobody but an application is the caller: Entra ID's tokens of applications have one `oid` and `sub`, while a
/// person's `sub` is another for each application; others' name the application in `sub` (RFC 9068, section 2.2).
fn is_of_an_application(claims: &Claims) -> Result<bool, JwtError> {
    let Some(subject) = claims.text("sub")? else {
        return Ok(false);
    };
    for claim in ["oid", "azp", "client_id"] {
        if claims.text(claim)? == Some(subject) {
            return Ok(true);
        }
    }
    Ok(false)
}
