//! Reads what guards look at from Defender's records, leniently: what is absent or malformed is not known.

use serde_json::Value;

use crate::alert::{FileRecord, FileStats, FileTraits, MachineTraits, Sha1, parse_time};
use crate::microsoft::text;

use super::read::ReadError;

/// Reads what a device's record says besides which one it is.
pub(super) fn machine(item: &Value) -> MachineTraits {
    let tags = item.get("machineTags").and_then(Value::as_array);
    // One tag that is no text makes all unknown: it might be the one that protects.
    let tags = tags.map(|tags| tags.iter().map(|tag| tag.as_str().map(ToOwned::to_owned)).collect());
    MachineTraits {
        os_version: text(item, "version").filter(|version| !version.is_empty()),
        os_build: item.get("osBuild").and_then(count),
        last_seen: text(item, "lastSeen").and_then(|at| parse_time(&at)),
        tags: tags.flatten(),
        group: maybe(item, "rbacGroupName"),
        value: maybe(item, "deviceValue"),
    }
}

/// Reads the record of a file. What is malformed in it is not known, and what is not known matches nothing.
pub(super) fn file(item: &Value) -> FileRecord {
    FileRecord {
        sha1: text(item, "sha1").and_then(|hash| hash.parse().ok()),
        sha256: text(item, "sha256").and_then(|hash| hash.parse().ok()),
        md5: text(item, "md5").and_then(|hash| hash.parse().ok()),
        traits: signature(item),
    }
}

fn signature(item: &Value) -> FileTraits {
    let (signer, issuer) = (maybe(item, "signer"), maybe(item, "issuer"));
    let is_unsigned = signer == Some(None) && issuer == Some(None);
    let is_valid = item.get("isValidCertificate").and_then(Value::as_bool);
    FileTraits {
        signer,
        issuer,
        is_certificate_valid: is_valid.or_else(|| is_unsigned.then_some(false)),
        determination: text(item, "determinationType").filter(|word| !word.is_empty()),
    }
}

/// Reads how widely a file is spread. Numbers come as texts too (reference, defender-api 4).
pub(super) fn stats(item: &Value, sha1: Sha1) -> Result<FileStats, ReadError> {
    let answered: Option<Sha1> = text(item, "sha1").and_then(|hash| hash.parse().ok());
    if answered.is_some_and(|answered| answered != sha1) {
        return Err(ReadError::Garbage("the prevalence of another file".to_owned()));
    }
    let number = |names: [&str; 2]| {
        let found = names.into_iter().filter_map(|name| item.get(name).and_then(count));
        // Of two that differ the higher one is the careful one.
        found.max()
    };
    Ok(FileStats {
        organisation_prevalence: number(["organizationPrevalence", "orgPrevalence"]),
        global_prevalence: number(["globallyPrevalence", "globalPrevalence"]),
    })
}

fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A text that may be null: known and none. A member that is not there, or no text, is not known.
#[expect(clippy::option_option, reason = "not known, known to be none, and known are three answers")]
fn maybe(item: &Value, name: &str) -> Option<Option<String>> {
    match item.get(name)? {
        Value::Null => Some(None),
        Value::String(text) if text.is_empty() => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    }
}
