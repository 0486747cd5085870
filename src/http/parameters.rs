//! Reads the parameters of lists.

use std::fmt::Display;
use std::str::FromStr;

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
