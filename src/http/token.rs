//! API tokens as callers hold them: `qb_<id>_<secret>`.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// An API token: a public id to find it by, and a secret of 244 random bits.
#[derive(Clone)]
pub struct ApiToken {
    id: String,
    secret: SecretString,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ApiToken {
    /// Makes a new one.
    pub fn generate() -> Self {
        let id: String = Uuid::new_v4().simple().to_string().chars().take(12).collect();
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self { id, secret: secret.into() }
    }

    /// Reads one as a caller sends it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("qb_")?.split_once('_')?;
        let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
        let well_formed = hex(id, 12) && hex(secret, 64);
        well_formed.then(|| Self { id: id.to_owned(), secret: secret.to_owned().into() })
    }

    /// Its public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is kept of its secret part.
    pub fn secret_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret.expose_secret()).into()
    }

    /// The whole token, to be shown once to whom it is for.
    pub fn reveal(&self) -> String {
        format!("qb_{}_{}", self.id, self.secret.expose_secret())
    }
}
