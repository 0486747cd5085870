//! Callers whom an issuer knows: its token proves them, and the app roles in it say what they may.

use jiff::Timestamp;

use crate::ingest::Headers;
use crate::ingest::jwt::{AUTHORIZATION_BYTES_MAX, Identity, Issuer, JwtError, Proven};
use crate::oidc::{Keys, KeysUnavailable};
use crate::store::{Bound, Scope};

/// Whose tokens are taken besides our own, and what their roles allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principals {
    /// What a token must say.
    pub identity: Identity,
    /// What each app role allows.
    pub roles: Vec<Role>,
}

/// An app role of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its value, as tokens have it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// For whom it may ask for actions, if for anybody.
    pub bound: Option<Bound>,
}

/// Two roles say otherwise for whom one may ask for actions: it is not known which one is meant.
pub(super) struct Ambiguous;

impl Principals {
    /// Who issues the tokens.
    pub fn issuer(&self) -> &Issuer {
        &self.identity.issuer
    }

    /// Proves a caller. A token with an unknown key gets a second chance: the issuer may have a new key.
    pub(super) async fn prove(
        &self,
        headers: &Headers,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Result<Proven, JwtError>, KeysUnavailable> {
        let Ok(authorization) = headers.only_within("authorization", AUTHORIZATION_BYTES_MAX) else {
            return Ok(Err(JwtError::Malformed(
                "it does not come in one Authorization header of 8 KiB at most",
            )));
        };
        if let Err(error) = self.identity.check_claims(authorization, now) {
            return Ok(Err(error));
        }
        let proven = self.identity.check(authorization, &*keys.current(self.issuer())?, now);
        if proven != Err(JwtError::KeyUnknown) {
            return Ok(proven);
        }
        Ok(self.identity.check(authorization, &*keys.renewed(self.issuer()).await?, now))
    }

    /// Says whether one of these roles has a scope.
    pub(super) fn allow(&self, roles: &[String], scope: Scope) -> bool {
        self.of(roles).any(|role| role.scopes.contains(&scope))
    }

    /// For whom these roles may ask for actions, if for anybody.
    pub(super) fn bound(&self, roles: &[String]) -> Result<Option<Bound>, Ambiguous> {
        let mut bounds = self.of(roles).filter_map(|role| role.bound.as_ref());
        let Some(first) = bounds.next() else { return Ok(None) };
        if bounds.all(|other| other == first) { Ok(Some(first.clone())) } else { Err(Ambiguous) }
    }

    fn of<'a>(&'a self, roles: &'a [String]) -> impl Iterator<Item = &'a Role> {
        self.roles.iter().filter(|role| roles.contains(&role.name))
    }
}
