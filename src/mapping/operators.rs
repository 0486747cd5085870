//! Arithmetic, and the ways into arrays, objects and texts.

use std::borrow::Cow;
use std::rc::Rc;

use jaq_core::ops::Math;

use super::evaluate::Run;
use super::number::Number;
use super::scope::{Answer, At, made, raise};
use super::term::{Constant, Lookup, Node, Part, Term};
use super::value::{Text, Value};

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(it) => Value::Bool(*it),
            Self::Whole(number) => Value::Number(Number::Whole(*number)),
            Self::Number(digits) => Value::Number(Number::read(Text::Lent(digits))),
            Self::Text(text) => Value::Text(Text::Lent(text)),
        }
    }
}

pub(super) fn negative<'p>(value: &Value<'p>) -> Answer<'p> {
    match value {
        Value::Number(number) => Ok(Value::Number(number.negative())),
        _ => raise("- takes a number"),
    }
}

/// What stands in a value under a key or an index; null if there is nothing.
fn index<'p>(value: &Value<'p>, index: &Value<'p>) -> Answer<'p> {
    match (value, index) {
        (Value::Null, _) | (Value::Array(_), Value::Number(Number::Written(_))) => Ok(Value::Null),
        (Value::Array(array), Value::Number(Number::Whole(index))) => {
            let items = array.items();
            Ok(place(*index, items.len()).and_then(|place| items.get(place)).cloned().unwrap_or(Value::Null))
        }
        (Value::Object(object), Value::Text(key)) => Ok(object.get(key).cloned().unwrap_or(Value::Null)),
        _ => raise("arrays take a number and objects a string as index"),
    }
}

/// An index from the start, or from the end if it is negative; `None` if that is before the start.
fn place(index: i64, len: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

impl<'p> Run<'p> {
    pub(super) fn arithmetic(&self, left: Value<'p>, math: Math, right: &Value<'p>) -> Answer<'p> {
        if let (Value::Number(_), Value::Number(_)) = (&left, right) {
            self.meter.weigh(&left)?;
            self.meter.weigh(right)?;
        }
        let number = |number: Option<Number<'p>>| match number {
            Some(number) => Ok(Value::Number(number)),
            None => raise("the result is no number: a divisor is zero"),
        };
        match (left, math, right) {
            (left, Math::Add, right) => self.plus(left, right),
            (Value::Number(left), Math::Sub, Value::Number(right)) => number(left.minus(right)),
            (Value::Number(left), Math::Div, Value::Number(right)) => number(left.divided(right)),
            (Value::Number(left), Math::Rem, Value::Number(right)) => number(left.remainder(right)),
            (Value::Text(text), Math::Div, Value::Text(separator)) => self.split(&text, separator),
            (_, Math::Sub, _) => raise("- takes two numbers"),
            (_, Math::Div, _) => raise("/ takes two numbers or two strings"),
            (_, Math::Rem, _) => raise("% takes two numbers"),
            (_, Math::Mul, _) => raise("* is not available in formats"),
        }
    }

    /// What stands in a value under a computed key or index.
    pub(super) fn index(&self, value: &Value<'p>, key: &Value<'p>) -> Answer<'p> {
        self.meter.charge_bytes(key.as_str().map_or(0, str::len))?;
        index(value, key)
    }

    pub(super) fn plus(&self, left: Value<'p>, right: &Value<'p>) -> Answer<'p> {
        match (left, right) {
            (Value::Null, right) => Ok(right.clone()),
            (left, Value::Null) => Ok(left),
            (Value::Number(left), Value::Number(right)) => match left.plus(right) {
                Some(sum) => Ok(Value::Number(sum)),
                None => raise("the sum is no number"),
            },
            (Value::Text(left), Value::Text(right)) => {
                self.meter.charge_bytes(left.len().saturating_add(right.len()))?;
                Ok(Value::text([&*left, &**right].concat()))
            }
            (Value::Array(mut left), Value::Array(right)) => {
                self.meter.charge_len(left.items().len().saturating_add(right.items().len()))?;
                Rc::make_mut(&mut left).extend(right.items().iter().cloned());
                made(Value::Array(left))
            }
            (Value::Object(mut left), Value::Object(right)) => {
                self.meter.charge_len(left.len().saturating_add(right.len()))?;
                let object = Rc::make_mut(&mut left);
                for (key, value) in right.iter() {
                    object.insert(key.clone(), value.clone());
                }
                made(Value::Object(left))
            }
            _ => raise("+ takes two numbers, two strings, two arrays or two objects"),
        }
    }

    pub(super) fn split(&self, text: &Text<'p>, separator: &str) -> Answer<'p> {
        self.meter.charge_len(text.len())?;
        made(Value::array(text.split(separator)))
    }

    /// The items of an array or the values of an object.
    pub(super) fn children<'v>(&self, value: &'v Value<'p>) -> Answer<'p, Cow<'v, [Value<'p>]>> {
        match value {
            Value::Array(array) => {
                self.meter.charge_len(array.items().len())?;
                Ok(Cow::Borrowed(array.items()))
            }
            Value::Object(object) => {
                self.meter.charge_len(object.len())?;
                Ok(object.iter().map(|(_, value)| value.clone()).collect())
            }
            _ => raise("only arrays and objects hold values to go through"),
        }
    }

    /// Follows a path that leads to one place.
    pub(super) fn path_one(&self, head: &'p Node, parts: &'p [(Part, Lookup)], at: At<'_, 'p>) -> Answer<'p> {
        match &head.term {
            Term::Input => self.walk(at.input, parts, at),
            Term::Variable(frames) => self.walk(at.variable(*frames)?, parts, at),
            _ => self.walk(&self.one(head, at)?, parts, at),
        }
    }

    fn walk(&self, from: &Value<'p>, parts: &'p [(Part, Lookup)], at: At<'_, 'p>) -> Answer<'p> {
        let Some(((part, _), rest)) = parts.split_first() else {
            return Ok(from.clone());
        };
        self.meter.charge(1)?;
        match part {
            Part::Key(key) => self.walk(under(from, key)?, rest, at),
            Part::Index(key) => self.walk(&self.index(from, &self.one(key, at)?)?, rest, at),
            Part::Slice(start, end) => {
                let bound = |node: &'p Option<Node>| node.as_ref().map(|node| self.one(node, at)).transpose();
                self.walk(&self.slice(from, bound(start)?.as_ref(), bound(end)?.as_ref())?, rest, at)
            }
            Part::Each => raise("the path leads to more than one place where it cannot"),
        }
    }

    /// Follows a path that leads to any number of places.
    pub(super) fn path_all(
        &self,
        parts: &'p [(Part, Lookup)],
        from: Value<'p>,
        at: At<'_, 'p>,
        out: &mut Vec<Value<'p>>,
    ) -> Answer<'p, ()> {
        let Some(((part, lookup), rest)) = parts.split_first() else {
            out.push(from);
            return Ok(());
        };
        self.meter.charge(1)?;
        let mut go_on = |found: Answer<'p>| match found.or_else(|ended| ended.unless(*lookup)) {
            Ok(value) => self.path_all(rest, value, at, out),
            Err(Some(ended)) => Err(ended),
            Err(None) => Ok(()),
        };
        match part {
            Part::Key(key) => go_on(under(&from, key).cloned()),
            Part::Index(key) => self.each(key, at, &mut |key| go_on(self.index(&from, &key))),
            Part::Slice(start, end) => self.each_bound(start.as_ref(), at, &mut |start| {
                self.each_bound(end.as_ref(), at, &mut |end| {
                    go_on(self.slice(&from, start.as_ref(), end.as_ref()))
                })
            }),
            Part::Each => match self.children(&from) {
                Ok(children) => children.iter().try_for_each(|child| go_on(Ok(child.clone()))),
                Err(ended) => go_on(Err(ended)),
            },
        }
    }

    fn each_bound(
        &self,
        bound: Option<&'p Node>,
        at: At<'_, 'p>,
        then: &mut dyn FnMut(Option<Value<'p>>) -> Answer<'p, ()>,
    ) -> Answer<'p, ()> {
        match bound {
            Some(bound) => self.each(bound, at, &mut |value| then(Some(value))),
            None => then(None),
        }
    }

    /// A part of an array or of a text, whose characters count.
    fn slice(&self, value: &Value<'p>, from: Option<&Value<'p>>, upto: Option<&Value<'p>>) -> Answer<'p> {
        match value {
            Value::Array(array) => {
                self.meter.charge_len(array.items().len())?;
                let len = array.items().len();
                let (from, upto) = (bound(from, len, 0)?, bound(upto, len, len)?);
                let items = array.items().get(from..upto).unwrap_or_default();
                Ok(Value::array(items.to_vec()))
            }
            Value::Text(text) => {
                self.meter.charge_len(text.len())?;
                let len = text.chars().count();
                let (from, upto) = (bound(from, len, 0)?, bound(upto, len, len)?);
                let byte = |place| text.char_indices().nth(place).map_or(text.len(), |(byte, _)| byte);
                let (from, upto) = (byte(from), byte(upto));
                Ok(Value::Text(text.part(|text| text.get(from..upto).unwrap_or_default())))
            }
            _ => raise("a slice takes an array or a string"),
        }
    }
}

/// What stands in a value under a key; null if there is nothing.
fn under<'v, 'p>(value: &'v Value<'p>, key: &str) -> Answer<'p, &'v Value<'p>> {
    match value {
        Value::Null => Ok(&Value::Null),
        Value::Object(object) => Ok(object.get(key).unwrap_or(&Value::Null)),
        _ => raise("arrays take a number and objects a string as index"),
    }
}

/// A bound of a slice, cut to the length.
fn bound<'p>(bound: Option<&Value<'p>>, len: usize, otherwise: usize) -> Answer<'p, usize> {
    match bound {
        None | Some(Value::Null) => Ok(otherwise),
        Some(Value::Number(Number::Whole(index))) => Ok(place(*index, len).unwrap_or(0).min(len)),
        Some(_) => raise("the bounds of a slice are integers"),
    }
}
