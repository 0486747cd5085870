//! The functions that format programs may call and that are not written in jq. All are total.

use super::evaluate::Run;
use super::lists::whole;
use super::number::Number;
use super::scope::{Answer, At, Ended, made, raise};
use super::term::Node;
use super::texts::of_texts;
use super::value::{Text, Value};

/// A function that is not written in jq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Native {
    Null,
    True,
    False,
    Not,
    Empty,
    Error,
    Type,
    Length,
    Add,
    ToString,
    ToNumber,
    ToJson,
    FromJson,
    FromEntries,
    ToEntries,
    Keys,
    Lower,
    Upper,
    Trim,
    TrimStart,
    TrimEnd,
    Floor,
    Sort,
    Unique,
    Has,
    Contains,
    Join,
    StartsWith,
    EndsWith,
    WithoutStart,
    WithoutEnd,
    Split,
    Map,
    SortBy,
    GroupBy,
    IsEmpty,
    Any,
    All,
    AnyOf,
    AllOf,
    Select,
    SelectType(&'static str),
    Values,
    First,
    Limit,
}

/// Every native function: its name, how many arguments it takes, and what it is.
const NATIVES: &[(&str, usize, Native)] = &[
    ("null", 0, Native::Null),
    ("true", 0, Native::True),
    ("false", 0, Native::False),
    ("not", 0, Native::Not),
    ("empty", 0, Native::Empty),
    ("error", 0, Native::Error),
    ("type", 0, Native::Type),
    ("length", 0, Native::Length),
    ("add", 0, Native::Add),
    ("tostring", 0, Native::ToString),
    ("tonumber", 0, Native::ToNumber),
    ("tojson", 0, Native::ToJson),
    ("fromjson", 0, Native::FromJson),
    ("from_entries", 0, Native::FromEntries),
    ("to_entries", 0, Native::ToEntries),
    ("keys_unsorted", 0, Native::Keys),
    ("ascii_downcase", 0, Native::Lower),
    ("ascii_upcase", 0, Native::Upper),
    ("trim", 0, Native::Trim),
    ("ltrim", 0, Native::TrimStart),
    ("rtrim", 0, Native::TrimEnd),
    ("floor", 0, Native::Floor),
    ("sort", 0, Native::Sort),
    ("unique", 0, Native::Unique),
    ("has", 1, Native::Has),
    ("contains", 1, Native::Contains),
    ("join", 1, Native::Join),
    ("startswith", 1, Native::StartsWith),
    ("endswith", 1, Native::EndsWith),
    ("ltrimstr", 1, Native::WithoutStart),
    ("rtrimstr", 1, Native::WithoutEnd),
    ("split", 1, Native::Split),
    ("map", 1, Native::Map),
    ("sort_by", 1, Native::SortBy),
    ("group_by", 1, Native::GroupBy),
    ("isempty", 1, Native::IsEmpty),
    ("any", 1, Native::Any),
    ("all", 1, Native::All),
    ("any", 2, Native::AnyOf),
    ("all", 2, Native::AllOf),
    ("select", 1, Native::Select),
    ("values", 0, Native::Values),
    ("strings", 0, Native::SelectType("string")),
    ("numbers", 0, Native::SelectType("number")),
    ("booleans", 0, Native::SelectType("boolean")),
    ("arrays", 0, Native::SelectType("array")),
    ("objects", 0, Native::SelectType("object")),
    ("first", 1, Native::First),
    ("limit", 2, Native::Limit),
];

impl Native {
    pub(super) fn named(name: &str, arguments: usize) -> Option<Self> {
        let found = NATIVES.iter().find(|(known, count, _)| *known == name && *count == arguments);
        found.map(|(_, _, native)| *native)
    }

    /// Whether it takes the value of its argument, not the filter.
    fn takes_value(self) -> bool {
        matches!(
            self,
            Self::Has
                | Self::Contains
                | Self::Join
                | Self::StartsWith
                | Self::EndsWith
                | Self::WithoutStart
                | Self::WithoutEnd
                | Self::Split
        )
    }

    /// Whether it gives its input or nothing.
    pub(super) fn is_test(self, arguments: &[Node]) -> bool {
        match self {
            Self::Values | Self::SelectType(_) | Self::Empty => true,
            Self::Select => arguments.iter().all(|condition| condition.is_single),
            _ => false,
        }
    }

    /// Whether it gives exactly one value, or an error.
    pub(super) fn is_single(self, arguments: &[Node]) -> bool {
        let is_generator = matches!(
            self,
            Self::Empty | Self::Select | Self::SelectType(_) | Self::Values | Self::First | Self::Limit
        );
        !is_generator && (!self.takes_value() || arguments.iter().all(|it| it.is_single))
    }
}

impl<'p> Run<'p> {
    /// Runs a native that gives any number of values.
    pub(super) fn native_all(
        &self,
        native: Native,
        arguments: &'p [Node],
        at: At<'_, 'p>,
        out: &mut Vec<Value<'p>>,
    ) -> Answer<'p, ()> {
        match (native, arguments) {
            (Native::Empty, _) => Ok(()),
            (Native::Select, [condition]) if !condition.is_single => self.each(condition, at, &mut |value| {
                out.extend(value.is_true().then(|| at.input.clone()));
                Ok(())
            }),
            (Native::Select | Native::SelectType(_) | Native::Values, _) => {
                out.extend(self.passes(native, arguments, at)?.then(|| at.input.clone()));
                Ok(())
            }
            (Native::First, [filter]) => self.some(1, filter, at, out),
            (Native::Limit, [count, filter]) => self.each(count, at, &mut |count| match count {
                Value::Number(Number::Whole(count)) => {
                    self.some(usize::try_from(count).unwrap_or(0), filter, at, out)
                }
                _ => raise("limit takes an integer"),
            }),
            (_, [argument]) if native.takes_value() => self.each(argument, at, &mut |value| {
                out.push(self.with_value(native, at.input, &value)?);
                Ok(())
            }),
            _ => raise("the program gives more than one value where it cannot"),
        }
    }

    /// Whether a test lets its input through; [`Native::Select`] is one where its condition is single.
    pub(super) fn passes(&self, native: Native, arguments: &'p [Node], at: At<'_, 'p>) -> Answer<'p, bool> {
        self.meter.charge(1)?;
        match (native, arguments) {
            (Native::Values, _) => Ok(!matches!(at.input, Value::Null)),
            (Native::SelectType(name), _) => Ok(at.input.type_name() == name),
            (Native::Select, [condition]) => Ok(self.one(condition, at)?.is_true()),
            _ => Ok(false),
        }
    }

    /// The first values that a filter gives; an error after them does not count.
    fn some(
        &self,
        count: usize,
        filter: &'p Node,
        at: At<'_, 'p>,
        out: &mut Vec<Value<'p>>,
    ) -> Answer<'p, ()> {
        if count == 0 {
            return Ok(());
        }
        let mut values = Vec::new();
        let ended = self.all(filter, at, &mut values);
        let is_enough = values.len() >= count;
        out.extend(values.into_iter().take(count));
        match ended {
            Err(Ended::Raised(_)) if is_enough => Ok(()),
            ended => ended,
        }
    }

    /// Runs a native that gives one value.
    pub(super) fn native_one(&self, native: Native, arguments: &'p [Node], at: At<'_, 'p>) -> Answer<'p> {
        match (native, arguments) {
            (Native::Map, [filter]) => {
                let mut items = Vec::new();
                for child in self.children(at.input)?.iter() {
                    self.all(filter, at.with(child), &mut items)?;
                }
                made(Value::array(items))
            }
            (Native::SortBy, [filter]) => self.sorted_by(filter, at),
            (Native::GroupBy, [filter]) => self.grouped_by(filter, at),
            (Native::IsEmpty, [filter]) => {
                let mut values = Vec::new();
                let ended = self.all(filter, at, &mut values);
                match ended {
                    Err(Ended::Raised(_)) if !values.is_empty() => Ok(Value::Bool(false)),
                    ended => ended.map(|()| Value::Bool(values.is_empty())),
                }
            }
            (Native::Any, [condition]) => self.has_one(&self.children(at.input)?, (condition, true), at),
            (Native::All, [condition]) => self.has_one(&self.children(at.input)?, (condition, false), at),
            (Native::AnyOf | Native::AllOf, [filter, condition]) => {
                let mut values = Vec::new();
                let ended = self.all(filter, at, &mut values);
                let wanted = native == Native::AnyOf;
                let has_one = self.has_one(&values, (condition, wanted), at)?;
                // An error behind the value that decides does not count.
                if has_one.is_true() != wanted || matches!(ended, Err(Ended::Stopped(_))) {
                    ended?;
                }
                Ok(has_one)
            }
            (_, [argument]) if native.takes_value() => {
                self.with_value(native, at.input, &self.one(argument, at)?)
            }
            _ => self.of_input(native, at.input),
        }
    }

    /// Whether a condition is true of any value (`wanted` is true), or of all (it is false).
    fn has_one(
        &self,
        values: &[Value<'p>],
        (condition, wanted): (&'p Node, bool),
        at: At<'_, 'p>,
    ) -> Answer<'p> {
        for value in values {
            if self.gives(condition, wanted, at.with(value))? {
                return Ok(Value::Bool(wanted));
            }
        }
        Ok(Value::Bool(!wanted))
    }

    /// Whether a condition gives what is wanted; an error behind that does not count.
    fn gives(&self, condition: &'p Node, wanted: bool, at: At<'_, 'p>) -> Answer<'p, bool> {
        if condition.is_single {
            return Ok(self.one(condition, at)?.is_true() == wanted);
        }
        let mut answers = Vec::new();
        let ended = self.all(condition, at, &mut answers);
        let is_given = answers.iter().any(|it| it.is_true() == wanted);
        match ended {
            Err(Ended::Raised(_)) if is_given => Ok(true),
            ended => ended.map(|()| is_given),
        }
    }

    fn of_input(&self, native: Native, input: &Value<'p>) -> Answer<'p> {
        match native {
            Native::Not => Ok(Value::Bool(!input.is_true())),
            Native::Error => Err(Ended::Raised(input.clone())),
            Native::Type => Ok(Value::Text(Text::Lent(input.type_name()))),
            Native::Length => self.length(input),
            Native::Add => {
                self.children(input)?.iter().try_fold(Value::Null, |sum, item| self.plus(sum, item))
            }
            Native::ToString => match input {
                Value::Text(_) => Ok(input.clone()),
                _ => self.json_text(input),
            },
            Native::ToNumber => self.number_read(input),
            Native::ToJson => self.json_text(input),
            Native::FromJson => self.json_read(input),
            Native::FromEntries => self.entries_joined(input),
            Native::ToEntries => self.entries(input),
            Native::Keys => self.keys(input),
            Native::Floor => match input {
                Value::Number(number) => Ok(Value::Number(number.floor())),
                _ => raise("floor takes a number"),
            },
            Native::Sort => self.sorted(input).map(Value::array),
            Native::Unique => {
                let mut items = self.sorted(input)?;
                items.dedup();
                Ok(Value::array(items))
            }
            _ => self.of_text(native, input),
        }
    }

    /// A native whose argument is a value.
    fn with_value(&self, native: Native, input: &Value<'p>, argument: &Value<'p>) -> Answer<'p> {
        match (native, input, argument) {
            (Native::Has, Value::Object(object), Value::Text(key)) => {
                self.meter.charge_bytes(key.len())?;
                Ok(Value::Bool(object.get(key).is_some()))
            }
            (Native::Has, ..) => raise("has takes an object and a string"),
            (Native::Join, Value::Array(array), Value::Text(separator)) => {
                self.join(array.items(), separator)
            }
            (Native::Join, ..) => raise("join takes an array and a string"),
            (Native::Split, Value::Text(text), Value::Text(separator)) => self.split(text, separator),
            (Native::Split, ..) => raise("split takes two strings"),
            (_, Value::Text(text), Value::Text(part)) => {
                self.meter.charge_bytes(text.len())?;
                Ok(of_texts(native, text, part))
            }
            // jq's `contains` on arrays and objects costs the product of their sizes.
            (Native::Contains, ..) => raise("contains takes two strings"),
            _ => raise("startswith, endswith, ltrimstr and rtrimstr take two strings"),
        }
    }

    fn length(&self, input: &Value<'p>) -> Answer<'p> {
        let length = match input {
            Value::Null => 0,
            Value::Text(text) => {
                self.meter.charge_bytes(text.len())?;
                text.chars().count()
            }
            Value::Array(array) => array.items().len(),
            Value::Object(object) => object.len(),
            Value::Bool(_) | Value::Number(_) => {
                return raise("length takes null, a string, an array or an object");
            }
        };
        Ok(whole(length))
    }
}
