//! The Idempotency-Key of a request, and which of them are being answered now (draft-ietf-httpapi-idempotency-key-header).

use std::collections::HashSet;
use std::sync::PoisonError;

use actix_web::HttpRequest;

use crate::store::Once;

use super::body;
use super::problem::{Problem, ProblemKind};

/// The longest key that is taken, in characters.
const KEY_CHARS_MAX: usize = 255;

/// Reads the key of a request, if it has one: a quoted string, as the draft has it, or its bare text, as many clients send it.
pub(super) fn key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    if !request.headers().contains_key("idempotency-key") {
        return Ok(None);
    }
    let headers = body::headers(request);
    let key = headers.only("idempotency-key").ok().and_then(read);
    let detail = || {
        format!(
            "Idempotency-Key must be one string of 1 to {KEY_CHARS_MAX} visible ASCII characters, best in quotes."
        )
    };
    key.map(Some).ok_or_else(|| Problem::new(ProblemKind::InvalidParameter, detail()))
}

/// Reads a string of structured fields (RFC 8941, 3.3.3), or the same without quotes.
fn read(value: &str) -> Option<String> {
    let key = match value.strip_prefix('"') {
        Some(rest) => unquoted(rest.strip_suffix('"')?)?,
        None => value.to_owned(),
    };
    let is_sound =
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b));
    is_sound.then_some(key)
}

/// Takes the backslashes off, which may stand before a quote or a backslash only.
fn unquoted(text: &str) -> Option<String> {
    let mut key = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.push(chars.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' => return None,
            _ => key.push(c),
        }
    }
    Some(key)
}

/// The keys whose requests are being answered now.
#[derive(Debug, Default)]
pub(super) struct Running {
    #[expect(clippy::disallowed_types, reason = "held for one look or one note, never across an await")]
    keys: std::sync::Mutex<HashSet<Once>>,
}

impl Running {
    /// Begins to answer a request under its key, unless another one is being answered under the same.
    pub(super) fn begin(&self, once: Option<&Once>) -> Result<Option<Begun<'_>>, Problem> {
        let Some(once) = once else {
            return Ok(None);
        };
        if self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(once.clone()) {
            return Ok(Some(Begun { running: self, once: once.clone() }));
        }
        let detail = "Another request under the same Idempotency-Key is being answered. Send it again.";
        Err(Problem::new(ProblemKind::StillRunning, detail))
    }
}

/// A request that is being answered under its key, until this is dropped.
#[derive(Debug)]
pub(super) struct Begun<'a> {
    running: &'a Running,
    once: Once,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.running.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.once);
    }
}
