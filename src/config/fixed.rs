//! What cannot change while the service runs: every key as it is written, but those that a reload applies.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use secrecy::{ExposeSecret as _, SecretString};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::microsoft::{AppRegistration, Identity, Proof};

/// Keys that a reload applies, with all below them. Whatever is not here needs a restart.
const APPLIED: [&str; 12] = [
    "allow_environment_secrets",
    "api",
    "budget",
    "callbacks",
    "defender.certificate",
    "defender.client_secret",
    "defender.workload_identity",
    "dispatch",
    "policy",
    "retention",
    "server.unfinished_max",
    "sources",
];

/// Keys with their text, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fixed(BTreeMap<String, String>);

impl Fixed {
    /// Reads the keys of a file.
    pub(super) fn read(text: &str, root: &Spanned<DeTable<'_>>) -> Self {
        let mut fixed = Self::default();
        fixed.walk(text, "", root.get_ref());
        fixed
    }

    fn walk(&mut self, text: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let key =
                if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            if APPLIED.contains(&key.as_str()) {
                continue;
            }
            match value.get_ref() {
                DeValue::Table(table) => self.walk(text, &key, table),
                _ => {
                    self.0.insert(key, text.get(value.span()).unwrap_or_default().to_owned());
                }
            }
        }
    }

    /// Adds which kind of proof tokens are asked for with: what proves it may be replaced, and the kind takes a restart.
    pub(super) fn add_identity(&mut self, identity: &Identity) {
        let key = match identity {
            Identity::App(AppRegistration { proof, .. }) => match proof {
                Proof::Secret(_) => "defender.client_secret",
                Proof::Certificate(_) => "defender.certificate",
                Proof::Federated(_) => "defender.workload_identity",
            },
            // Its keys are all kept.
            Identity::Managed(_) => return,
        };
        self.0.insert(key.to_owned(), String::new());
    }

    /// Adds the content of a secret, as a digest.
    pub(super) fn add_secret(&mut self, key: &str, secret: &SecretString) {
        let digest = Sha256::digest(secret.expose_secret());
        self.0.insert(format!("{key} (its content)"), hex::encode(digest));
    }

    /// Returns the keys that are otherwise here than there.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let all: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differs = |key: &&String| self.0.get(*key) != other.0.get(*key);
        all.into_iter().filter(differs).cloned().collect()
    }
}
