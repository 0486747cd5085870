//! What goes over the wire to Defender.

use serde::Serialize;

/// Body of StopAndQuarantineFile. The names are case-sensitive (reference, defender-api 1.1).
#[derive(Serialize)]
struct StopAndQuarantine<'a> {
    #[serde(rename = "Comment")]
    comment: &'a str,
    #[serde(rename = "Sha1")]
    sha1: &'a str,
}

/// Body of the cancel call (reference, defender-api 2).
#[derive(Serialize)]
struct Cancel<'a> {
    #[serde(rename = "Comment")]
    comment: &'a str,
}

/// Writes the body of the cancel call.
pub(super) fn cancel(comment: &str) -> Vec<u8> {
    serde_json::to_vec(&Cancel { comment }).unwrap_or_default()
}

/// Writes the body of StopAndQuarantineFile.
pub(super) fn stop_and_quarantine(comment: &str, sha1: &str) -> Vec<u8> {
    // Two strings cannot fail to be written as JSON.
    serde_json::to_vec(&StopAndQuarantine { comment, sha1 }).unwrap_or_default()
}
