//! A caller's place in a trace of its own.

use std::fmt;
use std::str::FromStr;

/// A caller's place in a trace of its own (W3C Trace Context), for people who follow one. Anybody can write it, so nothing goes
/// by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceparent(String);

impl Traceparent {
    /// Returns it as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id of the trace, and that of the caller's span in it.
    pub fn ids(&self) -> (&str, &str) {
        let mut parts = self.0.split('-').skip(1);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no place in a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not of the form of W3C Trace Context, such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01"
)]
pub struct NotATraceparent;

impl FromStr for Traceparent {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let parts: Vec<&str> = text.split('-').collect();
        let is_hex = |(part, length): (&&str, usize)| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_sound = parts.len() == 4 && parts.iter().zip([2, 32, 16, 2]).all(is_hex);
        let is_empty = |part: &&str| part.bytes().all(|b| b == b'0');
        let names_none = parts.iter().skip(1).take(2).any(is_empty) || text.starts_with("ff");
        if is_sound && !names_none { Ok(Self(text.to_owned())) } else { Err(NotATraceparent) }
    }
}
