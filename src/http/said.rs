//! What a caller says in the body of a request, and why.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::alert::{REASON_CHARS_MAX, reason_text};

use super::problem::{Problem, ProblemKind};
use super::{Context, body};

/// A body that says why, and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: String,
}

impl Reason {
    /// Returns it as it is kept.
    pub(super) fn text(&self) -> Result<String, Problem> {
        reason(&self.reason)
    }
}

/// Reads the body of a request.
pub(super) async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    context: &Context,
) -> Result<T, Problem> {
    parse(&body::read(request, payload, &context.long_bodies).await?)
}

/// Reads a body that is there.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(ProblemKind::InvalidBody, error.to_string()))
}

/// Reads the value of a member.
pub(super) fn member<T>(name: &str, value: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    let invalid = |error: T::Err| Problem::new(ProblemKind::InvalidBody, format!("{name}: {error}"));
    value.parse().map_err(invalid)
}

/// A reason is for people: one line that says something.
pub(super) fn reason(text: &str) -> Result<String, Problem> {
    let detail = || format!("reason must be one line of 1 to {REASON_CHARS_MAX} visible characters.");
    reason_text(text).ok_or_else(|| Problem::new(ProblemKind::InvalidBody, detail()))
}
