//! When to try again. Pure: chance is an argument.

use jiff::{SignedDuration, Timestamp};

use crate::alert::after;

use super::Verdict;

/// The first wait while the bridge is away.
const AWAY_FIRST: SignedDuration = SignedDuration::from_secs(1);

/// The longest wait while the bridge is away. Alerts have an age limit there, 60 minutes if not said otherwise.
const AWAY_LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// The first wait after a refusal that a person must mend.
const MEND_FIRST: SignedDuration = SignedDuration::from_secs(60);

/// The longest wait for a person.
const MEND_LONGEST: SignedDuration = SignedDuration::from_secs(300);

/// The longest `Retry-After` that is believed.
const RETRY_AFTER_LONGEST: SignedDuration = SignedDuration::from_secs(900);

/// Returns when to try a delivery again after so many tries of it; none if there is nothing to try again.
///
/// The wait doubles, and up to a quarter is added by chance, so that relays that lost the same bridge do not
/// come back all at once. `Retry-After` is never undercut.
pub fn next_try(verdict: &Verdict, tries: u32, chance: u8, now: Timestamp) -> Option<Timestamp> {
    let wait = match verdict {
        Verdict::Taken | Verdict::Refused { .. } => return None,
        Verdict::Away { .. } | Verdict::Later { .. } => away(verdict, tries, now),
        Verdict::Mend { .. } => doubled(MEND_FIRST, tries, MEND_LONGEST),
    };
    Some(after(now, wait.saturating_add(share(wait, chance))))
}

/// Returns until when the destination rests after so many failures in a row, of whatever deliveries.
///
/// A refusal may be meant for one delivery only, so it does not keep back the others for long.
pub fn rest(verdict: &Verdict, failures: u32, chance: u8, now: Timestamp) -> Timestamp {
    let wait = away(verdict, failures, now);
    after(now, wait.saturating_add(share(wait, chance)))
}

/// The wait while the bridge is away, or what it asks for if that is longer.
fn away(verdict: &Verdict, failures: u32, now: Timestamp) -> SignedDuration {
    let asked = match verdict {
        Verdict::Later { retry_after: Some(at), .. } => at.duration_since(now).min(RETRY_AFTER_LONGEST),
        _ => SignedDuration::ZERO,
    };
    doubled(AWAY_FIRST, failures, AWAY_LONGEST).max(asked)
}

fn doubled(first: SignedDuration, failures: u32, longest: SignedDuration) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(16);
    let factor = 1_i32.checked_shl(doublings).unwrap_or(i32::MAX);
    first.checked_mul(factor).unwrap_or(longest).min(longest)
}

/// Nothing for a chance of 0, nearly a quarter for 255.
fn share(wait: SignedDuration, chance: u8) -> SignedDuration {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(0);
    SignedDuration::from_millis(millis.saturating_mul(i64::from(chance)).wrapping_div(1_024))
}
