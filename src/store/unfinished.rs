//! How many actions are unfinished, without counting them for each delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::alert::{State, millis};

use super::{Store, StoreError};

/// How long a count stands at least, in milliseconds.
const RECOUNT_MILLIS: u64 = 1_000;

/// A count that is never too low: new actions are added, and those that end are taken off at the next recount.
#[derive(Debug, Clone)]
pub(super) struct Unfinished {
    count: Arc<AtomicI64>,
    /// When it was counted last, in milliseconds since 1970.
    counted_at: Arc<AtomicI64>,
    /// Held while it is counted.
    turn: Arc<Semaphore>,
}

/// A count under way.
#[derive(Debug)]
pub(super) struct Recount {
    unfinished: Unfinished,
    /// The count before: what is added meanwhile stays.
    before: i64,
    _turn: OwnedSemaphorePermit,
}

impl Unfinished {
    pub(super) fn new(count: u64) -> Self {
        Self {
            count: Arc::new(AtomicI64::new(signed(count))),
            counted_at: Arc::new(AtomicI64::new(0)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Adds new actions, after they are on disk.
    pub(super) fn add(&self, new: u64) {
        self.count.fetch_add(signed(new), Ordering::SeqCst);
    }

    pub(super) fn are_below(&self, max: u64) -> bool {
        self.count.load(Ordering::SeqCst) < signed(max)
    }

    /// Begins a count, unless one is under way or was made a moment ago.
    pub(super) fn begin_recount(&self, now: Timestamp) -> Option<Recount> {
        let turn = Arc::clone(&self.turn).try_acquire_owned().ok()?;
        // A clock that was set back must not stop the counting.
        if self.counted_at.load(Ordering::SeqCst).abs_diff(millis(now)) < RECOUNT_MILLIS {
            return None;
        }
        self.counted_at.store(millis(now), Ordering::SeqCst);
        Some(Recount { before: self.count.load(Ordering::SeqCst), unfinished: self.clone(), _turn: turn })
    }
}

impl Recount {
    /// Takes what was counted after this began.
    pub(super) fn finish(self, counted: u64) {
        self.unfinished.count.fetch_add(signed(counted).saturating_sub(self.before), Ordering::SeqCst);
    }
}

impl Store {
    /// Returns how many actions are in each unfinished state.
    pub async fn count_unfinished(&self) -> Result<Vec<(State, u64)>, StoreError> {
        self.readers.read(by_state).await
    }

    /// Says whether there are this many unfinished actions or more.
    ///
    /// New ones are counted as they come and all are counted anew when it looks full, once a second at most. So it may
    /// say full a second too long, never room where there is none.
    pub async fn is_full(&self, max: u64, now: Timestamp) -> Result<bool, StoreError> {
        if self.unfinished.are_below(max) {
            return Ok(false);
        }
        if let Some(recount) = self.unfinished.begin_recount(now) {
            recount.finish(total(&self.count_unfinished().await?));
        }
        Ok(!self.unfinished.are_below(max))
    }
}

/// Returns how many actions are in each unfinished state.
fn by_state(db: &Connection) -> Result<Vec<(State, u64)>, StoreError> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM actions WHERE state = ?1")?;
    let unfinished = State::ALL.into_iter().filter(|state| !state.is_final());
    unfinished
        .map(|state| {
            let count: i64 = statement.query_row([state.as_str()], |row| row.get(0))?;
            Ok((state, u64::try_from(count).unwrap_or(0)))
        })
        .collect()
}

/// Returns how many actions are unfinished.
pub(super) fn count(db: &Connection) -> Result<u64, StoreError> {
    Ok(total(&by_state(db)?))
}

fn total(counts: &[(State, u64)]) -> u64 {
    counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
