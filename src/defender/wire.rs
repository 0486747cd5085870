//! What goes over the wire to and from Defender. Read leniently: real answers differ from their
//! documentation.

use serde::Serialize;
use serde_json::Value;

/// The longest message of Defender that is kept.
const MESSAGE_CHARS_MAX: usize = 500;

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

/// Defender's words in an error answer, whichever of its envelopes it came in.
#[derive(Debug, Default)]
pub(super) struct ErrorText {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) target: Option<String>,
}

/// Reads an error answer: Defender's, OData's, the gateway's, or none of them.
pub(super) fn error_text(body: &[u8]) -> ErrorText {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = answer.get("error").unwrap_or(&answer);
    ErrorText {
        code: text(error, "code").unwrap_or_default(),
        message: text(error, "message").map(|message| plain(&message)).unwrap_or_default(),
        target: text(error, "target"),
    }
}

/// Returns a field as text, if it is there and a text or a number.
pub(super) fn text(object: &Value, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Makes a message fit for a log line: one line, bounded.
pub(super) fn plain(message: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    message.chars().map(printable).take(MESSAGE_CHARS_MAX).collect()
}
