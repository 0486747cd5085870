//! Runs a program: what each of its pieces gives for an input.
//!
//! A piece that gives one value always returns it ([`Run::one`]); any other puts what it gives at the end of a list
//! ([`Run::all`]). Nothing is lazy: the subset has no program without an end, and what comes before an error stays.

use jaq_core::ops::Cmp;

use super::meter::{Meter, Stopped};
use super::object::Object;
use super::operators;
use super::scope::{Answer, At, Ended, made, raise};
use super::term::{Code, Constant, Logic, Node, Term};
use super::value::{Text, Value};

/// What is done with each value that a piece of a program gives.
type Then<'t, 'p> = &'t mut dyn FnMut(Value<'p>) -> Answer<'p, ()>;

/// One run of a program.
#[derive(Debug)]
pub(super) struct Run<'p> {
    pub(super) code: &'p Code,
    pub(super) meter: Meter<'p>,
}

impl<'p> Run<'p> {
    pub(super) fn new(code: &'p Code, meter: Meter<'p>) -> Self {
        Self { code, meter }
    }

    /// Runs the whole program.
    pub(super) fn main(&self, input: &Value<'p>, out: &mut Vec<Value<'p>>) -> Answer<'p, ()> {
        self.all(&self.code.main, At::outermost(input), out)
    }

    /// Runs a piece that gives any number of values.
    pub(super) fn all(&self, node: &'p Node, at: At<'_, 'p>, out: &mut Vec<Value<'p>>) -> Answer<'p, ()> {
        if node.is_single {
            out.push(self.one(node, at)?);
            return Ok(());
        }
        self.meter.charge(1)?;
        match &node.term {
            Term::Recurse => self.recurse(at.input, out),
            Term::Pipe(one, other) => self.each(one, at, &mut |value| self.all(other, at.with(&value), out)),
            Term::Bind(value, pattern, body) => self.each(value, at, &mut |value| {
                self.bind(pattern, &value, at, &mut |inner| self.all(body, inner, out))
            }),
            Term::Comma(one, other) => {
                self.all(one, at, out)?;
                self.all(other, at, out)
            }
            Term::Alternative(one, other) => self.alternative(one, other, at, out),
            Term::If(condition, then, otherwise) => self.each(condition, at, &mut |value| {
                self.all(if value.is_true() { then } else { otherwise }, at, out)
            }),
            Term::Try(tried, caught) => match (self.all(tried, at, out), caught) {
                (Err(Ended::Raised(_)), None) => Ok(()),
                (Err(Ended::Raised(error)), Some(caught)) => self.all(caught, at.with(&error), out),
                (ended, _) => ended,
            },
            Term::Parameter(frames) => {
                let (filter, inner) = at.filter(*frames)?;
                self.all(filter, inner, out)
            }
            Term::Call(call) => {
                let body = self.body(call)?;
                self.enter(call, at, &mut |inner| self.all(body, inner, out))
            }
            Term::Native(native, arguments) => self.native_all(*native, arguments, at, out),
            Term::Path(head, parts) => self.each(head, at, &mut |value| self.path_all(parts, value, at, out)),
            _ => self.combined(&node.term, at, out),
        }
    }

    /// Runs a piece that makes a value of several, each of which may come more than once.
    fn combined(&self, term: &'p Term, at: At<'_, 'p>, out: &mut Vec<Value<'p>>) -> Answer<'p, ()> {
        match term {
            Term::Interpolated(parts) => self.interpolated(parts, String::new(), at, out),
            Term::Object(pairs) => self.object(pairs, Object::default(), at, out),
            Term::Negative(inner) => self.each(inner, at, &mut |value| {
                out.push(operators::negative(&value)?);
                Ok(())
            }),
            Term::Logic(left, logic, right) => self.each(left, at, &mut |value| {
                if is_decided(*logic, &value) {
                    out.push(Value::Bool(value.is_true()));
                    return Ok(());
                }
                self.each(right, at, &mut |value| {
                    out.push(Value::Bool(value.is_true()));
                    Ok(())
                })
            }),
            Term::Arithmetic(left, math, right) => self.each(left, at, &mut |left| {
                self.each(right, at, &mut |right| {
                    out.push(self.arithmetic(left.clone(), *math, &right)?);
                    Ok(())
                })
            }),
            Term::Comparison(left, comparison, right) => self.each(left, at, &mut |left| {
                self.each(right, at, &mut |right| {
                    out.push(self.compared(&left, *comparison, &right)?);
                    Ok(())
                })
            }),
            _ => raise("the program gives more than one value where it cannot"),
        }
    }

    /// Runs a piece that gives one value.
    pub(super) fn one(&self, node: &'p Node, at: At<'_, 'p>) -> Answer<'p> {
        self.meter.charge(1)?;
        match &node.term {
            Term::Input => Ok(at.input.clone()),
            Term::Constant(constant) => Ok(constant.value()),
            Term::Array(inner) => {
                let mut items = Vec::new();
                if let Some(inner) = inner {
                    self.all(inner, at, &mut items)?;
                }
                made(Value::array(items))
            }
            Term::Object(pairs) => self.one_object(pairs, at),
            Term::Pipe(one, other) => self.one(other, at.with(&self.one(one, at)?)),
            Term::Bind(value, pattern, body) => self.one_bound(value, (pattern, body), at),
            Term::Alternative(one, other) => {
                let value = self.one(one, at)?;
                if value.is_true() { Ok(value) } else { self.one(other, at) }
            }
            Term::If(condition, then, otherwise) => {
                self.one(if self.one(condition, at)?.is_true() { then } else { otherwise }, at)
            }
            Term::Logic(left, logic, right) => {
                let left = self.one(left, at)?;
                let decides = if is_decided(*logic, &left) { left } else { self.one(right, at)? };
                Ok(Value::Bool(decides.is_true()))
            }
            Term::Variable(frames) => at.variable(*frames).cloned(),
            Term::Call(call) => self.one_call(call, at),
            Term::Native(native, arguments) => self.native_one(*native, arguments, at),
            Term::Path(head, parts) => self.path_one(head, parts, at),
            _ => self.one_computed(&node.term, at),
        }
    }

    fn one_computed(&self, term: &'p Term, at: At<'_, 'p>) -> Answer<'p> {
        match term {
            Term::Interpolated(parts) => {
                let mut text = String::new();
                for part in parts {
                    self.write(&self.one(part, at)?, &mut text)?;
                }
                Ok(Value::text(text))
            }
            Term::Negative(inner) => operators::negative(&self.one(inner, at)?),
            Term::Arithmetic(left, math, right) => {
                let left = self.one(left, at)?;
                self.arithmetic(left, *math, &self.one(right, at)?)
            }
            Term::Comparison(left, comparison, right) => {
                let left = self.one(left, at)?;
                self.compared(&left, *comparison, &self.one(right, at)?)
            }
            Term::Try(tried, Some(caught)) => match self.one(tried, at) {
                Err(Ended::Raised(error)) => self.one(caught, at.with(&error)),
                answer => answer,
            },
            _ => raise("the program gives no value where it must"),
        }
    }

    /// Does something with each value that a piece gives, before its error is told.
    pub(super) fn each(&self, node: &'p Node, at: At<'_, 'p>, then: Then<'_, 'p>) -> Answer<'p, ()> {
        if node.is_single {
            return then(self.one(node, at)?);
        }
        if let Term::Native(native, arguments) = &node.term
            && native.is_test(arguments)
        {
            return if self.passes(*native, arguments, at)? { then(at.input.clone()) } else { Ok(()) };
        }
        let mut values = Vec::new();
        let ended = self.all(node, at, &mut values);
        values.into_iter().try_for_each(then)?;
        ended
    }

    fn recurse(&self, value: &Value<'p>, out: &mut Vec<Value<'p>>) -> Answer<'p, ()> {
        self.meter.charge(1)?;
        out.push(value.clone());
        match value {
            Value::Array(array) => array.items().iter().try_for_each(|item| self.recurse(item, out)),
            Value::Object(object) => object.iter().try_for_each(|(_, value)| self.recurse(value, out)),
            _ => Ok(()),
        }
    }

    /// What the left side gives that is true, or its error; if there is nothing of it, the right side.
    fn alternative(
        &self,
        one: &'p Node,
        other: &'p Node,
        at: At<'_, 'p>,
        out: &mut Vec<Value<'p>>,
    ) -> Answer<'p, ()> {
        let mut values = Vec::new();
        let ended = self.all(one, at, &mut values);
        values.retain(Value::is_true);
        if values.is_empty() && ended.is_ok() {
            return self.all(other, at, out);
        }
        out.append(&mut values);
        ended
    }

    fn interpolated(
        &self,
        parts: &'p [Node],
        before: String,
        at: At<'_, 'p>,
        out: &mut Vec<Value<'p>>,
    ) -> Answer<'p, ()> {
        let Some((part, rest)) = parts.split_first() else {
            out.push(Value::text(before));
            return Ok(());
        };
        self.each(part, at, &mut |value| {
            let mut text = before.clone();
            self.write(&value, &mut text)?;
            self.interpolated(rest, text, at, out)
        })
    }

    /// Appends a value as text: a text as it is, anything else as JSON.
    pub(super) fn write(&self, value: &Value<'p>, text: &mut String) -> Answer<'p, ()> {
        self.meter.weigh(value)?;
        self.meter.charge_bytes(text.len())?;
        match value {
            Value::Text(part) => text.push_str(part),
            other => text.push_str(&other.to_string()),
        }
        Ok(())
    }

    fn object(
        &self,
        pairs: &'p [(Node, Node)],
        before: Object<'p>,
        at: At<'_, 'p>,
        out: &mut Vec<Value<'p>>,
    ) -> Answer<'p, ()> {
        let Some(((key, value), rest)) = pairs.split_first() else {
            out.push(made(Value::object(before))?);
            return Ok(());
        };
        self.each(key, at, &mut |key| {
            self.each(value, at, &mut |value| {
                self.meter.charge_len(before.len())?;
                let mut object = before.clone();
                object.insert(self.key(key.clone())?, value);
                self.object(rest, object, at, out)
            })
        })
    }

    fn one_object(&self, pairs: &'p [(Node, Node)], at: At<'_, 'p>) -> Answer<'p> {
        let mut object = Object::with_capacity(pairs.len());
        for (key, value) in pairs {
            let key = match &key.term {
                Term::Constant(Constant::Text(key)) => Text::Lent(key),
                _ => self.key(self.one(key, at)?)?,
            };
            object.insert(key, self.one(value, at)?);
        }
        made(Value::object(object))
    }

    /// What a value of an object goes under.
    fn key(&self, key: Value<'p>) -> Answer<'p, Text<'p>> {
        self.meter.weigh(&key)?;
        match key {
            Value::Text(key) => Ok(key),
            _ => raise("object keys must be strings"),
        }
    }

    fn compared(&self, left: &Value<'p>, comparison: Cmp, right: &Value<'p>) -> Answer<'p> {
        self.weigh_comparison(left, right)?;
        Ok(Value::Bool(comparison.run(left, right)))
    }

    /// Takes the fuel of comparing two values: the shorter one bounds it, if one is no container.
    fn weigh_comparison(&self, left: &Value<'p>, right: &Value<'p>) -> Result<(), Stopped> {
        match (left, right) {
            (Value::Text(left), Value::Text(right)) => self.meter.charge_bytes(left.len().min(right.len())),
            (Value::Array(_), Value::Array(_))
            | (Value::Object(_), Value::Object(_))
            | (Value::Number(_), Value::Number(_)) => {
                self.meter.weigh(left)?;
                self.meter.weigh(right)
            }
            _ => self.meter.charge(1),
        }
    }
}

fn is_decided(logic: Logic, left: &Value<'_>) -> bool {
    left.is_true() == (logic == Logic::Or)
}
