//! Bounds the work of one jq program: each step costs fuel, and an empty tank ends the run.
//!
//! jaq has no limit of its own. Every value that a program touches is a [`super::value::Value`], whose
//! operations call [`charge`]; when the fuel is gone or the watchdog has said stop, `charge` unwinds the
//! stack to [`run`]. A program cannot catch that, as it could catch an error.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one run may spend: a built-in format over an alert with 100 files uses a tenth of it.
///
/// One unit is a step on a value, or up to 32 bytes of new memory, so a run stays below 32 MiB and a few tens
/// of milliseconds.
pub(super) const FUEL: u64 = 1_000_000;

/// How deep values that a program builds may nest; they are dropped by recursion.
pub(super) const DEPTH_MAX: u32 = 128;

/// How many units pass between two looks at the watchdog's flag.
const LOOK_EVERY: u64 = 256;

/// Set by the watchdog to stop one run.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops the run that this was given to.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a run ended before its program did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The fuel is gone.
    OutOfFuel,
    /// A value nests too deep.
    TooDeep,
    /// The watchdog said stop.
    Cancelled,
    /// The interpreter panicked: a bug of ours or of jaq.
    Panicked,
}

thread_local! {
    static TANK: Cell<Option<u64>> = const { Cell::new(None) };
    static CANCEL: RefCell<Cancel> = RefCell::new(Cancel::default());
}

/// Runs `work` with a full tank.
pub(super) fn run<T>(cancel: &Cancel, work: impl FnOnce() -> T) -> Result<T, Stopped> {
    TANK.set(Some(FUEL));
    CANCEL.set(cancel.clone());
    let result = catch_unwind(AssertUnwindSafe(work));
    TANK.set(None);
    result.map_err(|payload| why(payload.as_ref()))
}

fn why(payload: &(dyn Any + Send)) -> Stopped {
    payload.downcast_ref().copied().unwrap_or(Stopped::Panicked)
}

/// Takes fuel, or ends the run. Outside [`run`] it is free: loading a program is bounded by the program's
/// size.
pub(super) fn charge(units: u64) {
    let Some(left) = TANK.get() else {
        return;
    };
    let Some(rest) = left.checked_sub(units) else {
        stop(Stopped::OutOfFuel);
    };
    TANK.set(Some(rest));
    let looks = |tank: u64| tank.checked_div(LOOK_EVERY);
    if looks(rest) != looks(left) && CANCEL.with_borrow(Cancel::is_stopped) {
        stop(Stopped::Cancelled);
    }
}

/// Takes the fuel for handling `len` bytes.
pub(super) fn charge_bytes(len: usize) {
    charge(u64::try_from(len.div_ceil(32)).unwrap_or(u64::MAX).saturating_add(1));
}

/// Takes the fuel for handling `len` elements.
pub(super) fn charge_len(len: usize) {
    charge(u64::try_from(len).unwrap_or(u64::MAX).saturating_add(1));
}

/// Ends the run if a value of this depth may not exist.
pub(super) fn check_depth(depth: u32) {
    if depth > DEPTH_MAX && TANK.get().is_some() {
        stop(Stopped::TooDeep);
    }
}

/// Unwinds to [`run`], without the noise that a panic makes.
fn stop(why: Stopped) -> ! {
    resume_unwind(Box::new(why))
}
