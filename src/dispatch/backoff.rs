//! How long to wait after failures in a row. Pure.

use jiff::SignedDuration;

/// The longest wait.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// Returns the wait after so many failures in a row: 1, 2, 4 ... 60 s.
pub(super) fn after_failures(failures: u32) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(6);
    SignedDuration::from_secs(1_i64.checked_shl(doublings).unwrap_or(60)).min(LONGEST)
}
