//! The values that format programs compute with: jaq's own, metered.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use jaq_json::{Num, Val};

use super::meter::{charge, charge_bytes, check_depth};

/// Integers of more digits than this stay text: arithmetic on them would cost too much.
const INTEGER_DIGITS_MAX: usize = 40;

/// A JSON value and an upper bound of how deep it nests.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) inner: Val,
    pub(super) depth: u32,
}

impl Value {
    /// Wraps a value that nests at most `depth` deep.
    pub(super) fn new(inner: Val, depth: u32) -> Self {
        check_depth(depth);
        let is_container = matches!(inner, Val::Arr(_) | Val::Obj(_));
        Self { inner, depth: if is_container { depth } else { 0 } }
    }

    pub(super) fn scalar(inner: Val) -> Self {
        charge(1);
        Self { inner, depth: 0 }
    }

    /// Wraps something that was inside a value of this depth.
    pub(super) fn child(inner: Val, parent_depth: u32) -> Self {
        Self::new(inner, parent_depth.saturating_sub(1))
    }

    /// Wraps something computed from this value that nests no deeper.
    pub(super) fn like(&self, inner: Val) -> Self {
        Self::new(inner, self.depth)
    }

    /// The value itself.
    pub(super) fn inner(&self) -> &Val {
        &self.inner
    }

    /// The value itself, by value.
    pub(super) fn into_inner(self) -> Val {
        self.inner
    }

    /// Returns the text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        as_str(&self.inner)
    }

    /// Charges for visiting every node of the value: it may be small in memory and huge in extent.
    pub(super) fn weigh(&self) {
        weigh(&self.inner);
    }
}

/// Returns the text that a value holds, if it holds one.
pub(super) fn as_str(value: &Val) -> Option<&str> {
    match value {
        Val::TStr(bytes) => str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Makes a number that keeps its digits: integers stay exact, everything else stays text.
pub(super) fn number(text: &str) -> Val {
    let integer = text != "-0" && text.len() <= INTEGER_DIGITS_MAX;
    let exact = if integer { Num::from_str_radix(text, 10) } else { None };
    Val::Num(exact.unwrap_or_else(|| Num::Dec(jaq_json::Rc::new(text.to_owned()))))
}

pub(super) fn weigh(value: &Val) {
    match value {
        Val::Null | Val::Bool(_) | Val::Num(_) => charge(1),
        Val::BStr(bytes) | Val::TStr(bytes) => charge_bytes(bytes.len()),
        Val::Arr(items) => {
            charge(1);
            items.iter().for_each(weigh);
        }
        Val::Obj(pairs) => {
            charge(1);
            for (key, value) in pairs.iter() {
                weigh(key);
                weigh(value);
            }
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        // The interpreter clones at every step, which makes this the meter of all loops.
        charge(1);
        Self { inner: self.inner.clone(), depth: self.depth }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.weigh();
        self.inner.fmt(f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.weigh();
        other.weigh();
        self.inner == other.inner
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weigh();
        other.weigh();
        self.inner.cmp(&other.inner)
    }
}

impl From<bool> for Value {
    fn from(it: bool) -> Self {
        Self::scalar(it.into())
    }
}

impl From<isize> for Value {
    fn from(it: isize) -> Self {
        Self::scalar(it.into())
    }
}

impl From<usize> for Value {
    fn from(it: usize) -> Self {
        Self::scalar(it.into())
    }
}

impl From<f64> for Value {
    fn from(it: f64) -> Self {
        Self::scalar(it.into())
    }
}

impl From<String> for Value {
    fn from(it: String) -> Self {
        charge_bytes(it.len());
        Self { inner: it.into(), depth: 0 }
    }
}

impl From<Range<Option<Self>>> for Value {
    fn from(range: Range<Option<Self>>) -> Self {
        let bounds = range.start.map(Self::into_inner)..range.end.map(Self::into_inner);
        Self::new(bounds.into(), 1)
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        let mut depth = 0;
        let items = items.into_iter().map(|item| {
            charge(1);
            depth = item.depth.max(depth);
            item.into_inner()
        });
        let inner = items.collect();
        Self::new(inner, depth.saturating_add(1))
    }
}
