//! Columns to values and back. What cannot be read back is corruption, never a default.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Row, types::FromSql};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::{NoContext, Uuid};

use crate::alert::from_millis;

use super::StoreError;

/// Makes an id that sorts by the time it was made.
pub(super) fn new_uuid(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos))
}

/// A count or a place, which SQLite has with a sign.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads a row's columns in order, by name.
pub(super) struct Columns<'r, 's>(pub(super) &'r Row<'s>);

impl Columns<'_, '_> {
    /// Returns a column as SQLite has it.
    pub(super) fn raw<T: FromSql>(&self, name: &str) -> Result<T, StoreError> {
        Ok(self.0.get(name)?)
    }

    /// Returns a text column as the value it stands for.
    pub(super) fn parsed<T>(&self, name: &str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        parse(name, &self.raw::<String>(name)?)
    }

    /// Returns a text column that may be null as the value it stands for.
    pub(super) fn maybe<T>(&self, name: &str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.raw::<Option<String>>(name)?.map(|text| parse(name, &text)).transpose()
    }

    /// Returns a time.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        Ok(from_millis(self.raw(name)?))
    }

    /// Returns a time that may be null.
    pub(super) fn maybe_time(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.raw::<Option<i64>>(name)?.map(from_millis))
    }

    /// Returns a column of JSON text.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text: String = self.raw(name)?;
        serde_json::from_str(&text).map_err(|error| corrupt(name, &error))
    }
}

/// Reads a text as the value it stands for.
pub(super) fn parse<T>(name: &str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| corrupt(name, &error))
}

/// Tells of a column that cannot be read.
pub(super) fn corrupt(name: &str, why: &dyn Display) -> StoreError {
    StoreError::Corrupt(format!("column {name}: {why}"))
}

/// Writes a value as JSON text.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Statement(error.to_string()))
}
