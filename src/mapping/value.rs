//! The values that format programs compute with: jaq's own, metered.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Range, Rem, Sub};

use jaq_core::path::Opt;
use jaq_core::{Error, ValR, ValT, ValX};
use jaq_json::{Num, Val};

use super::meter::{charge, charge_bytes, charge_len, check_depth};

/// Integers of more digits than this stay text: arithmetic on them would cost too much.
const INTEGER_DIGITS_MAX: usize = 40;

/// A JSON value and an upper bound of how deep it nests.
#[derive(Debug)]
pub(super) struct Value {
    inner: Val,
    depth: u32,
}

impl Value {
    /// Wraps a value that nests at most `depth` deep.
    pub(super) fn new(inner: Val, depth: u32) -> Self {
        check_depth(depth);
        let is_container = matches!(inner, Val::Arr(_) | Val::Obj(_));
        Self {
            inner,
            depth: if is_container { depth } else { 0 },
        }
    }

    fn scalar(inner: Val) -> Self {
        charge(1);
        Self { inner, depth: 0 }
    }

    /// Wraps something that was inside a value of this depth.
    fn child(inner: Val, parent_depth: u32) -> Self {
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
    let exact = if integer {
        Num::from_str_radix(text, 10)
    } else {
        None
    };
    Val::Num(exact.unwrap_or_else(|| Num::Dec(jaq_json::Rc::new(text.to_owned()))))
}

fn weigh(value: &Val) {
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

fn refuse<T>(what: &'static str) -> ValR<T, Value> {
    Err(Error::str(what))
}

impl Clone for Value {
    fn clone(&self) -> Self {
        // The interpreter clones at every step, which makes this the meter of all loops.
        charge(1);
        Self {
            inner: self.inner.clone(),
            depth: self.depth,
        }
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
        Self {
            inner: it.into(),
            depth: 0,
        }
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

impl Add for Value {
    type Output = ValR<Self>;

    fn add(self, other: Self) -> Self::Output {
        for side in [&self.inner, &other.inner] {
            match side {
                Val::BStr(bytes) | Val::TStr(bytes) => charge_bytes(bytes.len()),
                Val::Arr(items) => charge_len(items.len()),
                Val::Obj(pairs) => charge_len(pairs.len()),
                Val::Null | Val::Bool(_) | Val::Num(_) => charge(1),
            }
        }
        let depth = self.depth.max(other.depth);
        rewrap(self.inner.add(other.inner), depth)
    }
}

impl Sub for Value {
    type Output = ValR<Self>;

    fn sub(self, other: Self) -> Self::Output {
        charge(1);
        match (&self.inner, &other.inner) {
            (Val::Num(_), Val::Num(_)) => rewrap(self.inner.sub(other.inner), 0),
            _ => refuse("- takes two numbers"),
        }
    }
}

impl Mul for Value {
    type Output = ValR<Self>;

    fn mul(self, _: Self) -> Self::Output {
        refuse("* is not available in formats")
    }
}

impl Div for Value {
    type Output = ValR<Self>;

    fn div(self, other: Self) -> Self::Output {
        match (&self.inner, &other.inner) {
            (Val::Num(_), Val::Num(_)) => charge(1),
            (Val::TStr(text), Val::TStr(_)) => charge_len(text.len()),
            _ => return refuse("/ takes two numbers or two strings"),
        }
        rewrap(self.inner.div(other.inner), 1)
    }
}

impl Rem for Value {
    type Output = ValR<Self>;

    fn rem(self, other: Self) -> Self::Output {
        charge(1);
        rewrap(self.inner.rem(other.inner), 0)
    }
}

impl Neg for Value {
    type Output = ValR<Self>;

    fn neg(self) -> Self::Output {
        charge(1);
        rewrap(self.inner.neg(), 0)
    }
}

/// Wraps what jaq computed. Its errors hold bare values, which become text.
fn rewrap(result: ValR<Val>, depth: u32) -> ValR<Value> {
    match result {
        Ok(inner) => Ok(Value::new(inner, depth)),
        Err(error) => Err(Error::new(rewrap_error(error))),
    }
}

fn rewrap_error(error: Error<Val>) -> Value {
    let inner = error.into_val();
    weigh(&inner);
    let text: String = inner.to_string().chars().take(200).collect();
    text.into()
}

impl ValT for Value {
    fn from_num(text: &str) -> ValR<Self> {
        Ok(Self::scalar(number(text)))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(pairs: I) -> ValR<Self> {
        let mut depth = 0;
        let mut map = jaq_json::Map::default();
        for (key, value) in pairs {
            charge(1);
            if !matches!(key.inner, Val::TStr(_)) {
                return refuse("object keys must be strings");
            }
            depth = value.depth.max(depth);
            map.insert(key.inner, value.inner);
        }
        Ok(Self::new(Val::obj(map), depth.saturating_add(1)))
    }

    fn key_values(self) -> Box<dyn Iterator<Item = ValR<(Self, Self), Self>>> {
        charge_children(&self.inner);
        let depth = self.depth;
        Box::new(self.inner.key_values().map(move |pair| match pair {
            Ok((key, value)) => Ok((Self::child(key, depth), Self::child(value, depth))),
            Err(error) => Err(Error::new(rewrap_error(error))),
        }))
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        charge_children(&self.inner);
        let depth = self.depth.saturating_sub(1);
        Box::new(self.inner.values().map(move |value| rewrap(value, depth)))
    }

    fn index(self, index: &Self) -> ValR<Self> {
        charge(1);
        match (&self.inner, &index.inner) {
            (Val::Null, _) | (Val::Arr(_), Val::Num(_)) | (Val::Obj(_), Val::TStr(_)) => {
                let depth = self.depth.saturating_sub(1);
                rewrap(self.inner.index(&index.inner), depth)
            }
            _ => refuse("arrays take a number and objects a string as index"),
        }
    }

    fn range(self, range: jaq_core::val::Range<&Self>) -> ValR<Self> {
        match &self.inner {
            Val::TStr(text) => charge_bytes(text.len()),
            Val::Arr(items) => charge_len(items.len()),
            _ => return refuse("a slice takes an array or a string"),
        }
        let depth = self.depth;
        let bounds = range.start.map(Self::inner)..range.end.map(Self::inner);
        rewrap(self.inner.range(bounds), depth)
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        no_update()
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        _: &Self,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        no_update()
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        _: jaq_core::val::Range<&Self>,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        no_update()
    }

    fn as_bool(&self) -> bool {
        charge(1);
        self.inner.as_bool()
    }

    fn into_string(self) -> Self {
        self.weigh();
        Self {
            inner: self.inner.into_string(),
            depth: 0,
        }
    }
}

/// Formats read; the operators that update are refused when a program is loaded.
fn no_update<'a>() -> ValX<'a, Value> {
    Err(Error::str("formats cannot update values").into())
}

fn charge_children(value: &Val) {
    match value {
        Val::Arr(items) => charge_len(items.len()),
        Val::Obj(pairs) => charge_len(pairs.len()),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => charge(1),
    }
}

impl jaq_std::ValT for Value {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        let Val::Arr(items) = &self.inner else {
            return Err(self);
        };
        charge_len(items.len());
        let depth = self.depth;
        Ok(items
            .iter()
            .map(|item| Self::child(item.clone(), depth))
            .collect())
    }

    fn is_int(&self) -> bool {
        jaq_std::ValT::is_int(&self.inner)
    }

    fn as_isize(&self) -> Option<isize> {
        self.inner.as_isize()
    }

    fn as_f64(&self) -> Option<f64> {
        self.inner.as_f64()
    }

    fn is_utf8_str(&self) -> bool {
        self.inner.is_utf8_str()
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        let bytes = self.inner.as_bytes();
        charge_bytes(bytes.map_or(0, <[u8]>::len));
        bytes
    }

    fn as_sub_str(&self, sub: &[u8]) -> Self {
        charge_bytes(sub.len());
        Self {
            inner: self.inner.as_sub_str(sub),
            depth: 0,
        }
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        charge_bytes(bytes.as_ref().len());
        Self {
            inner: Val::from_utf8_bytes(bytes),
            depth: 0,
        }
    }
}
