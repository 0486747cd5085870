//! One turn of something that persons and the bridge turn: the kill switch, or the breaker on blast radius.

use jiff::Timestamp;

use crate::alert::Who;

use super::StoreError;
use super::rows::Columns;

/// One turn of the kill switch, or one opening or closing of the breaker on blast radius.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: Who,
    /// Why.
    pub reason: String,
}

impl Turn {
    /// Reads a row of either table.
    pub(super) fn read(columns: &Columns<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            seq: columns.raw("seq")?,
            at: columns.time("at")?,
            who: columns.parsed("who")?,
            reason: columns.raw("reason")?,
        })
    }
}
