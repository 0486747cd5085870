//! When a delivery was signed, and whether that is near enough to now.

use jiff::{SignedDuration, Timestamp};

use super::VerifyError;

/// How a sender writes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// Seconds since 1970, 1 to 12 digits.
    Unix,
    /// Milliseconds since 1970, 1 to 15 digits.
    UnixMillis,
    /// RFC 3339, such as `2026-01-31T12:00:00Z`.
    Rfc3339,
}

impl TimeFormat {
    /// All formats with the words of the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("unix", Self::Unix), ("unix_ms", Self::UnixMillis), ("rfc3339", Self::Rfc3339)];

    /// Reads a time written exactly so; anything looser would have several texts for one time.
    pub(super) fn read(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Unix => Timestamp::from_second(digits(text, 12)?).ok(),
            Self::UnixMillis => Timestamp::from_millisecond(digits(text, 15)?).ok(),
            Self::Rfc3339 => is_rfc3339(text).then(|| text.parse().ok()).flatten(),
        }
    }
}

fn digits(text: &str, digits_max: usize) -> Option<i64> {
    let well_formed = (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    well_formed.then(|| text.parse().ok()).flatten()
}

/// `date-time` of RFC 3339, section 5.6, with capital letters and a zone.
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches('0');
            let digits = fraction.len().saturating_sub(zone.len());
            if !(1..=9).contains(&digits) {
                return false;
            }
            zone
        }
        None => rest,
    };
    matches!(zone, "Z" | "+00:00" | "-00:00")
}

/// Says whether a delivery was signed within the tolerance before or after now.
pub(super) fn check(
    signed_at: Timestamp,
    tolerance: SignedDuration,
    now: Timestamp,
) -> Result<(), VerifyError> {
    // Whole seconds on both sides: with a tolerance of 300 s, 300 s old is the last that is taken.
    let age = SignedDuration::from_secs(now.as_second().saturating_sub(signed_at.as_second()));
    if age > tolerance {
        Err(VerifyError::Stale)
    } else if age.saturating_add(tolerance).is_negative() {
        Err(VerifyError::Early)
    } else {
        Ok(())
    }
}
