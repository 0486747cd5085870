//! The rate windows of the API: so many calls a minute, so many an hour.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a window moves. Which of the two Defender uses is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// The last 60 or 3,600 seconds.
    Sliding,
    /// The current minute or hour of the clock.
    Fixed,
}

/// The calls of one API, counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// Seconds since 1970 of the calls of the last two hours.
    calls: VecDeque<i64>,
}

impl Limits {
    /// Takes a call, or says which limit it breaks and in how many seconds there is room again.
    pub(super) fn take(
        &mut self,
        kind: WindowKind,
        limits: [u32; 2],
        now: Timestamp,
    ) -> Result<(), Throttled> {
        let now = now.as_second();
        while self.calls.front().is_some_and(|at| *at < now.saturating_sub(7_200)) {
            self.calls.pop_front();
        }
        for (limit, length) in limits.into_iter().zip([60, 3_600]) {
            let begins = match kind {
                WindowKind::Sliding => now.saturating_sub(length).saturating_add(1),
                WindowKind::Fixed => now.saturating_sub(now.rem_euclid(length)),
            };
            let within: Vec<i64> = self.calls.iter().copied().filter(|at| *at >= begins).collect();
            if within.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                let frees = match kind {
                    WindowKind::Sliding => within.first().copied().unwrap_or(now),
                    WindowKind::Fixed => begins,
                };
                let retry_after = frees.saturating_add(length).saturating_sub(now).max(1);
                return Err(Throttled { limit, length, retry_after });
            }
        }
        self.calls.push_back(now);
        Ok(())
    }
}

/// A call that breaks a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttled {
    limit: u32,
    length: i64,
    /// Seconds until there is room.
    pub(super) retry_after: i64,
}

impl Throttled {
    /// The message that real bodies have (reference, defender-api 9).
    pub(super) fn message(&self) -> String {
        let period = if self.length == 60 { "00:01:00" } else { "01:00:00" };
        format!("API calls quota exceeded! maximum allowed {} per {period}", self.limit)
    }
}
