//! The only place that reads the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::alert::{Moment, Steady, from_millis};

/// Tells the time. A cheap handle.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    /// Stands still until a test moves it.
    Manual(Arc<Hands>),
}

/// What a manual clock shows, in milliseconds.
#[derive(Debug)]
struct Hands {
    /// Since 1970.
    day: AtomicI64,
    /// Of the steady clock.
    steady: AtomicI64,
}

/// What the steady clock of a manual clock shows at first: such a machine has run for a day.
const STEADY_START: i64 = 86_400_000;

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        let day = AtomicI64::new(start.as_millisecond());
        Self(Kind::Manual(Arc::new(Hands { day, steady: AtomicI64::new(STEADY_START) })))
    }

    /// Returns the time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System => Timestamp::now(),
            Kind::Manual(hands) => from_millis(hands.day.load(Ordering::SeqCst)),
        }
    }

    /// Returns a time that runs on evenly, whatever happens to the time of day; it starts anew with the machine.
    pub fn steady(&self) -> Steady {
        match &self.0 {
            Kind::System => {
                let read = clock_gettime(ClockId::Monotonic);
                let millis = read.tv_sec.saturating_mul(1_000);
                Steady::from_millis(millis.saturating_add(read.tv_nsec.checked_div(1_000_000).unwrap_or(0)))
            }
            Kind::Manual(hands) => Steady::from_millis(hands.steady.load(Ordering::SeqCst)),
        }
    }

    /// Returns this moment by both clocks.
    pub fn moment(&self) -> Moment {
        Moment { at: self.now(), steady: Some(self.steady()) }
    }

    /// Lets time pass on a manual clock; the system's clock cannot be moved.
    pub fn advance(&self, by: SignedDuration) {
        self.set_by(by);
        if let Kind::Manual(hands) = &self.0 {
            hands.steady.fetch_add(whole_millis(by).max(0), Ordering::SeqCst);
        }
    }

    /// Sets the time of day of a manual clock, forward or back, while no time passes.
    pub fn set_by(&self, step: SignedDuration) {
        if let Kind::Manual(hands) = &self.0 {
            hands.day.fetch_add(whole_millis(step), Ordering::SeqCst);
        }
    }
}

fn whole_millis(by: SignedDuration) -> i64 {
    i64::try_from(by.as_millis()).unwrap_or(0)
}
