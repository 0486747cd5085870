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

/// Writes the body of StopAndQuarantineFile.
pub(super) fn stop_and_quarantine(comment: &str, sha1: &str) -> Vec<u8> {
    // Two strings cannot fail to be written as JSON.
    serde_json::to_vec(&StopAndQuarantine { comment, sha1 }).unwrap_or_default()
}
