//! Bounds the work of one jq program: each step costs fuel, and an empty tank ends the run.
//!
//! Whatever a program does goes through [`super::evaluate`], which charges a unit for every node of the program
//! that it visits and for every 32 bytes that an operation reads or writes. A program cannot catch [`Stopped`],
//! as it can catch an error.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::value::Value;

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
}

/// The tank of one run.
#[derive(Debug)]
pub(super) struct Meter<'c> {
    left: Cell<u64>,
    cancel: &'c Cancel,
}

impl<'c> Meter<'c> {
    /// Starts with a full tank.
    pub(super) fn full(cancel: &'c Cancel) -> Self {
        Self { left: Cell::new(FUEL), cancel }
    }

    /// Takes fuel, or ends the run.
    pub(super) fn charge(&self, units: u64) -> Result<(), Stopped> {
        let left = self.left.get();
        let rest = left.checked_sub(units).ok_or(Stopped::OutOfFuel)?;
        self.left.set(rest);
        let looks = |tank: u64| tank.checked_div(LOOK_EVERY);
        if looks(rest) != looks(left) && self.cancel.is_stopped() {
            return Err(Stopped::Cancelled);
        }
        Ok(())
    }

    /// Takes the fuel for handling `len` bytes.
    pub(super) fn charge_bytes(&self, len: usize) -> Result<(), Stopped> {
        self.charge_len(len.div_ceil(32))
    }

    /// Takes the fuel for handling `len` elements.
    pub(super) fn charge_len(&self, len: usize) -> Result<(), Stopped> {
        self.charge(u64::try_from(len).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// Takes the fuel for visiting every node of the value: it may be small in memory and huge in extent.
    pub(super) fn weigh(&self, value: &Value<'_>) -> Result<(), Stopped> {
        match value {
            Value::Null | Value::Bool(_) => self.charge(1),
            Value::Number(number) => self.charge_bytes(number.written_len()),
            Value::Text(text) => self.charge_bytes(text.len()),
            Value::Array(array) => {
                self.charge(1)?;
                array.items().iter().try_for_each(|item| self.weigh(item))
            }
            Value::Object(object) => {
                self.charge(1)?;
                object.iter().try_for_each(|(key, value)| {
                    self.charge_bytes(key.len())?;
                    self.weigh(value)
                })
            }
        }
    }
}

/// Ends the run if a value may not nest as deep as this one does.
pub(super) fn check_depth(value: &Value<'_>) -> Result<(), Stopped> {
    if value.depth() > DEPTH_MAX { Err(Stopped::TooDeep) } else { Ok(()) }
}
