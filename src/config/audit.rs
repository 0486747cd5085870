//! `[audit]`: the key that signs the audit, and how often it does.

use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::SecretString;

use crate::audit::SigningKey;
use crate::checkpoints::Options;

use super::Secrets;
use super::reader::Section;
use super::secret::{self, Secret};

/// How often it is signed where nothing else is said (reference, security 2.5).
const EVERY: SignedDuration = SignedDuration::from_hours(1);

/// More often is noise, less often leaves much that could be cut off.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// The section, and the secret that it names.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) options: Option<Options>,
    pub(super) secret: Option<SecretString>,
}

/// Reads the section. Without a key nothing is signed.
pub(super) fn read(root: &Section<'_>, secrets: Secrets) -> Audit {
    let section = root.section_or_empty("audit");
    let every = section.duration("checkpoint_every").unwrap_or(EVERY);
    if !(SHORTEST..=LONGEST).contains(&every) {
        let remedy = "write a time such as \"1h\"";
        section.complain("checkpoint_every", "is not between 1 minute and 24 hours", remedy);
    }
    let key = section.section_if_there("signing_key");
    let found = match (key, secrets) {
        (Some(key), Secrets::Read) => {
            let found = signing_key(&key);
            key.finish();
            found
        }
        (Some(_), Secrets::Skip) => None,
        (None, _) => {
            if section.has("checkpoint_every") {
                section.complain(
                    "checkpoint_every",
                    "stands without signing_key",
                    "name a key, or leave it out",
                );
            }
            None
        }
    };
    section.finish();
    let (secret, options) =
        found.map(|(secret, key)| (secret, Options { key: Arc::new(key), every })).unzip();
    Audit { options, secret }
}

fn signing_key(section: &Section<'_>) -> Option<(SecretString, SigningKey)> {
    let Secret { key, text } = secret::read(section)?;
    match SigningKey::read(&text) {
        Ok(signing) => Some((text, signing)),
        Err(wrong) => {
            let remedy = "make one with: quarantine-bridge audit key FILE";
            section.complain(key, format!("{wrong}"), remedy);
            None
        }
    }
}
