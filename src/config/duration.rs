//! Durations as people write them: a number and a unit.

use jiff::SignedDuration;

/// Reads `500ms`, `90s`, `10m`, `24h` or `7d`.
pub fn parse(text: &str) -> Option<SignedDuration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: i64 = number.parse().ok()?;
    let unit_millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_millis).map(SignedDuration::from_millis)
}
