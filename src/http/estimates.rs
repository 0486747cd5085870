//! When actions will go out, as far as dispatch's last word on budgets and queue can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::alert::{Action, Severity, SourceName, State, Steady, after};
use crate::budget::Snapshot;
use crate::clock::Clock;

/// Dispatch's last word, and what was accepted since then.
#[derive(Debug)]
pub(super) struct Estimates {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    clock: Clock,
    /// The snapshot since which actions are counted.
    serial: AtomicU64,
    /// New actions by rank of severity.
    accepted: [AtomicU32; 5],
}

impl Estimates {
    pub(super) fn new(snapshot: watch::Receiver<Arc<Snapshot>>, clock: Clock) -> Self {
        Self { snapshot, clock, serial: AtomicU64::new(0), accepted: Default::default() }
    }

    /// Returns dispatch's last word.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Returns the time of day of a reading of the steady clock.
    pub(super) fn time_of(&self, at: Steady) -> Timestamp {
        after(self.clock.now(), at.since(self.clock.steady()))
    }

    /// Returns when an action goes out that was accepted just now; `None` if it is not sent without a person.
    ///
    /// Nothing is asked of the store: dispatch's last word and a count of what came since then are enough.
    pub(super) fn of_accepted(&self, source: &SourceName, severity: Option<Severity>) -> Option<Timestamp> {
        let snapshot = self.snapshot();
        let severity = severity.filter(|severity| is_enforced(&snapshot, source, *severity))?;
        let before = self.count(snapshot.serial, severity);
        let forecast = snapshot.forecast()?;
        let older = snapshot.waiting().of(Some(severity)).saturating_add(before);
        Some(self.not_past(forecast.of(Some(severity), older)))
    }

    /// Counts a new action; returns how many came before it since the snapshot that it waits behind.
    fn count(&self, serial: u64, severity: Severity) -> usize {
        if self.serial.swap(serial, Ordering::Relaxed) != serial {
            self.accepted.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
        let own = usize::from(severity.rank());
        let counts = self.accepted.iter().enumerate().skip(own);
        let counts = counts.map(|(rank, count)| {
            if rank == own { count.fetch_add(1, Ordering::Relaxed) } else { count.load(Ordering::Relaxed) }
        });
        usize::try_from(counts.fold(0_u32, u32::saturating_add)).unwrap_or(usize::MAX)
    }

    /// Returns when an action goes out; `older` are those of its severity before it, if it is queued.
    pub(super) fn of_action(&self, action: &Action, older: Option<u32>) -> Option<Timestamp> {
        let snapshot = self.snapshot();
        let forecast = snapshot.forecast()?;
        let at = match (action.state, older) {
            (State::Queued, Some(older)) => {
                forecast.of(action.severity, usize::try_from(older).unwrap_or(usize::MAX))
            }
            (State::Accepted | State::Resolving | State::Decided, _)
                if action
                    .severity
                    .is_some_and(|severity| is_enforced(&snapshot, &action.source, severity)) =>
            {
                // It is counted among those that come.
                forecast.of(action.severity, snapshot.waiting().of(action.severity).saturating_sub(1))
            }
            _ => return None,
        };
        Some(self.not_past(at))
    }

    fn not_past(&self, at: Steady) -> Timestamp {
        self.time_of(at.max(self.clock.steady()))
    }
}

fn is_enforced(snapshot: &Snapshot, source: &SourceName, severity: Severity) -> bool {
    snapshot.enforced.get(source).is_some_and(|floor| severity >= *floor)
}
