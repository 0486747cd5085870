//! Reads the parameters of lists.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use url::form_urlencoded;

use crate::alert::parse_time;

use super::problem::{Problem, ProblemKind};

/// How much a page holds if the caller does not say.
pub(super) const PAGE: u32 = 50;

/// How much a page holds at most.
const PAGE_MAX: u32 = 200;

/// Reads how much a page is to hold.
pub(super) fn limit(value: &str) -> Result<u32, Problem> {
    let limit = parse("limit", value)?;
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit must be 1 to {PAGE_MAX}.");
    Err(Problem::new(ProblemKind::InvalidParameter, detail))
}

/// Reads the value of a parameter.
pub(super) fn parse<T>(name: &str, value: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    value
        .parse()
        .map_err(|error: T::Err| Problem::new(ProblemKind::InvalidParameter, format!("{name}: {error}")))
}

/// Reads the time that a parameter gives.
pub(super) fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    let detail = || format!("{name} must be a time such as 2026-03-31T11:58:00Z.");
    parse_time(value).ok_or_else(|| Problem::new(ProblemKind::InvalidParameter, detail()))
}

/// Reads the query of a list that has no parameters but the place to go on from and how much a page is to hold.
pub(super) fn cursor_and_limit(query: &str) -> Result<(Option<String>, u32), Problem> {
    let (mut cursor, mut page) = (None, PAGE);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "cursor" => cursor = Some(value.into_owned()),
            "limit" => page = limit(&value)?,
            _ => {
                let detail = format!("There is no parameter {name:?}; there are cursor and limit.");
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    Ok((cursor, page))
}

/// Leaves a page of what was read, one more than asked for; returns the last on it if there is a next page.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: u32) -> Option<&T> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > most;
    found.truncate(most);
    found.last().filter(|_| has_more)
}
