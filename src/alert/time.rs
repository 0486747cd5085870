//! Times: arithmetic that cannot overflow, storage as milliseconds, lenient reading.

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};

/// Returns `at` plus `by`, or the end of time.
pub fn after(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns how long so many days are.
pub fn days(count: u16) -> SignedDuration {
    SignedDuration::from_hours(i64::from(count).saturating_mul(24))
}

/// Returns `at` minus `by`, or the beginning of time.
pub fn before(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(if by.is_negative() { Timestamp::MAX } else { Timestamp::MIN })
}

/// Returns milliseconds since 1970, the form in which the store keeps times.
pub fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// Returns the time that the store kept as milliseconds since 1970.
pub fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Reads a time as senders write it: RFC 3339 with any number of decimals, with or without the
/// colon in its zone, or with a space in place of the `T`.
///
/// A time without a zone is refused: it may be wrong by half a day, and an age limit depends on it.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    // Hayabusa and Chainsaw put a space before the zone; jiff takes one in place of the `T`.
    let joined = text.replace(" +", "+").replace(" -", "-");
    let trimmed = shorten_fraction(&joined);
    trimmed.parse().ok()
}

/// Reads `Retry-After`: seconds, or a date of HTTP (RFC 9110, section 10.2.3).
pub fn retry_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a wait without end; whoever waits bounds it.
        return Some(after(now, SignedDuration::from_secs(text.parse().unwrap_or(i64::MAX))));
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Drops decimals past the ninth: jiff refuses them, and nobody needs them.
fn shorten_fraction(text: &str) -> String {
    let Some((whole, rest)) = text.split_once('.') else {
        return text.to_owned();
    };
    let zone_at = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, zone) = rest.split_at(zone_at);
    let digits: String = digits.chars().take(9).collect();
    format!("{whole}.{digits}{zone}")
}
