//! One-time links as their holders have them: an id, random digits, and a code that only the service's key makes. Pure.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::alert::millis;
use crate::store::KeptLink;

/// The shortest key, in characters: 32 random bytes in base64 have more.
const KEY_CHARS_MIN: usize = 32;

/// How many hexadecimal digits an id has, and each of the other two parts.
const ID_LEN: usize = 32;
const PART_LEN: usize = 64;

/// The key that makes links and proves them.
pub struct LinkKey(SecretString);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkKey").finish_non_exhaustive()
    }
}

impl LinkKey {
    /// Takes a key, if it is long enough.
    pub fn new(text: SecretString) -> Option<Self> {
        (text.expose_secret().trim().chars().count() >= KEY_CHARS_MIN).then_some(Self(text))
    }

    /// Returns the secret that it is made of, to see whether it has changed.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// Returns the link as it is handed out: all that was kept of it is in its code.
    pub(super) fn text(&self, link: &Link, kept: &KeptLink) -> String {
        format!("{}_{}_{}", link.id, link.secret.expose_secret(), self.code("link", link, kept))
    }

    /// Says whether a link is the one that was kept, and all that was kept of it is as it was then.
    pub(super) fn proves(&self, link: &Link, code: &str, kept: &KeptLink) -> bool {
        let is_secret = link.secret_sha256().ct_eq(&kept.secret_sha256);
        let is_code = self.code("link", link, kept).as_bytes().ct_eq(code.as_bytes());
        bool::from(is_secret & is_code)
    }

    /// Returns what the form of the link's page sends back: no page of anybody else has it.
    pub(super) fn once(&self, link: &Link, kept: &KeptLink) -> String {
        self.code("form", link, kept)
    }

    fn code(&self, purpose: &str, link: &Link, kept: &KeptLink) -> String {
        let key = Sha256::digest(self.0.expose_secret());
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
            return String::new();
        };
        let mut add = |text: &str| {
            mac.update(&text.len().to_be_bytes());
            mac.update(text.as_bytes());
        };
        add(purpose);
        add(link.secret.expose_secret());
        add(&kept.id);
        add(&kept.action.to_string());
        add(&kept.approver.principal());
        add(&kept.made_by.principal());
        add(&millis(kept.held_since).to_string());
        add(&millis(kept.created_at).to_string());
        add(&millis(kept.expires_at).to_string());
        kept.holds.iter().for_each(|hold| add(hold));
        hex::encode(mac.finalize().into_bytes())
    }
}

/// A link without its code.
pub(super) struct Link {
    id: String,
    secret: SecretString,
}

impl Link {
    /// Makes a new one: 256 of its bits are taken from 366 random ones.
    pub(super) fn generate() -> Self {
        let random = || Uuid::new_v4().into_bytes();
        let secret = hex::encode(Sha256::digest([random(), random(), random()].concat()));
        Self { id: Uuid::new_v4().simple().to_string(), secret: secret.into() }
    }

    /// Reads one and its code, as its holder sends them.
    pub(super) fn parse(text: &str) -> Option<(Self, &str)> {
        let digits = |text: &str, len: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            text.len() == len && text.bytes().all(is_digit)
        };
        let mut parts = text.split('_');
        let (id, secret, code) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && digits(id, ID_LEN);
        let is_whole = is_whole && digits(secret, PART_LEN) && digits(code, PART_LEN);
        is_whole.then(|| (Self { id: id.to_owned(), secret: secret.to_owned().into() }, code))
    }

    /// Its public part.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What is kept of its random part.
    pub(super) fn secret_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret.expose_secret()).into()
    }
}
