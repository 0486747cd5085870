//! What the interpreter may do with a value, each step metered.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

use jaq_core::path::Opt;
use jaq_core::{Error, ValR, ValT, ValX};
use jaq_json::Val;

use super::meter::{charge, charge_bytes, charge_len};
use super::value::{Value, number, weigh};

fn refuse<T>(what: &'static str) -> ValR<T, Value> {
    Err(Error::str(what))
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
        Self { inner: self.inner.into_string(), depth: 0 }
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
        Ok(items.iter().map(|item| Self::child(item.clone(), depth)).collect())
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
        Self { inner: self.inner.as_sub_str(sub), depth: 0 }
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        charge_bytes(bytes.as_ref().len());
        Self { inner: Val::from_utf8_bytes(bytes), depth: 0 }
    }
}
