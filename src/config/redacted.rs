//! The configuration without what is somebody's own: for whoever helps from outside.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use crate::alert::{Mode, Severity};
use crate::ingest::PRESETS;
use crate::ingest::jwt::Algorithm;
use crate::mapping::BUILT_IN;
use crate::policy::Guard;
use crate::store::Scope;

use super::duration;

/// Words of the configuration that no table of the code has.
const WORDS: [&str; 34] = [
    "api",
    "basic",
    "bearer",
    "concatenated",
    "cross",
    "debug",
    "deny",
    "error",
    "forwarded",
    "graph",
    "header",
    "hex",
    "hmac",
    "hold",
    "info",
    "json",
    "jwt",
    "mtls",
    "off",
    "one",
    "pass",
    "path-token",
    "rfc3339",
    "roles",
    "sha256",
    "sha384",
    "sha512",
    "stated",
    "text",
    "trace",
    "unix",
    "unix_ms",
    "utf8",
    "x-forwarded-for",
];

/// Keys whose values are hidden whatever they are: somebody may have put a secret where its file belongs.
const PRIVATE: [&str; 4] = ["secret", "password", "token", "key"];

/// Returns the configuration with every text hidden that is not a word of ours or a duration. Names of sections stay.
pub fn redacted(path: &Path, hide: &impl Fn(&str) -> String) -> Value {
    let text = fs::read_to_string(path).unwrap_or_default();
    match DeTable::parse(&text) {
        Ok(root) => table(root.get_ref(), hide),
        Err(_) => json!("cannot be read"),
    }
}

fn table(found: &DeTable<'_>, hide: &impl Fn(&str) -> String) -> Value {
    let mut shown = Map::new();
    for (key, found) in found {
        let key: &str = key.get_ref();
        let is_private = PRIVATE.iter().any(|word| key.contains(word));
        shown.insert(key.to_owned(), value(found.get_ref(), is_private, hide));
    }
    Value::Object(shown)
}

fn value(found: &DeValue<'_>, is_private: bool, hide: &impl Fn(&str) -> String) -> Value {
    match found {
        DeValue::Table(found) => table(found, hide),
        DeValue::Array(items) => items.iter().map(|item| value(item.get_ref(), is_private, hide)).collect(),
        DeValue::Boolean(is) => json!(is),
        DeValue::String(text) if !is_private && is_word(text) => json!(text),
        DeValue::String(text) => json!(hide(text)),
        DeValue::Integer(number) if !is_private => json!(number.as_str()),
        DeValue::Float(number) if !is_private => json!(number.as_str()),
        DeValue::Datetime(time) if !is_private => json!(time.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => json!(hide("")),
    }
}

fn is_word(text: &str) -> bool {
    let known = [
        WORDS.contains(&text),
        text.parse::<Mode>().is_ok(),
        text.parse::<Severity>().is_ok(),
        text.parse::<Guard>().is_ok(),
        text.parse::<Scope>().is_ok(),
        text.parse::<Algorithm>().is_ok(),
        PRESETS.iter().any(|preset| preset.name == text),
        BUILT_IN.iter().any(|format| format.name == text),
        duration::parse(text).is_some(),
    ];
    known.contains(&true)
}
