//! The values that format programs compute with.
//!
//! Texts are lent from the payload or the program as far as possible, so that reading an alert copies little.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use super::number::Number;
use super::object::Object;

/// A JSON value. Containers are shared; a clone costs no more than a count.
#[derive(Debug, Clone)]
pub(super) enum Value<'p> {
    Null,
    Bool(bool),
    Number(Number<'p>),
    Text(Text<'p>),
    Array(Rc<Array<'p>>),
    Object(Rc<Object<'p>>),
}

/// A text, lent from what outlives the run or made by it.
#[derive(Clone)]
pub(super) enum Text<'p> {
    Lent(&'p str),
    Made(Rc<str>),
}

/// The items of an array, and how deep it nests.
#[derive(Debug, Clone, Default)]
pub(super) struct Array<'p> {
    items: Vec<Value<'p>>,
    depth: u32,
}

impl<'p> Array<'p> {
    pub(super) fn items(&self) -> &[Value<'p>] {
        &self.items
    }

    pub(super) fn extend(&mut self, items: impl IntoIterator<Item = Value<'p>>) {
        for item in items {
            self.depth = self.depth.max(item.depth().saturating_add(1));
            self.items.push(item);
        }
    }
}

impl<'p> Value<'p> {
    pub(super) fn array(items: Vec<Self>) -> Self {
        let deepest = items.iter().map(Self::depth).max().unwrap_or_default();
        Self::Array(Rc::new(Array { items, depth: deepest.saturating_add(1) }))
    }

    pub(super) fn object(object: Object<'p>) -> Self {
        Self::Object(Rc::new(object))
    }

    /// Makes a text of its own.
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text::Made(text.into()))
    }

    /// Returns the text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How deep the value nests: 0 for one that is no container.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 0,
            Self::Array(array) => array.depth,
            Self::Object(object) => object.depth(),
        }
    }

    /// Says whether a condition takes the value for true.
    pub(super) fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    /// The name of its type, as jq calls it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value with texts of its own, for it outlives what it was read from.
    pub(super) fn detached<'other>(&self) -> Value<'other> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(it) => Value::Bool(*it),
            Self::Number(number) => Value::Number(number.detached()),
            Self::Text(text) => Value::Text(text.detached()),
            Self::Array(array) => Value::array(array.items.iter().map(Self::detached).collect()),
            Self::Object(object) => {
                let pairs = object.iter().map(|(key, value)| (key.detached(), value.detached()));
                Value::object(pairs.collect())
            }
        }
    }
}

impl<'p> Text<'p> {
    pub(super) fn detached<'other>(&self) -> Text<'other> {
        match self {
            Self::Lent(text) => Text::Made((*text).into()),
            Self::Made(text) => Text::Made(Rc::clone(text)),
        }
    }

    /// A part of this text, lent as this one is; `part` must return a part of what it is given.
    pub(super) fn part(&self, part: impl for<'t> FnOnce(&'t str) -> &'t str) -> Self {
        match self {
            Self::Lent(text) => Self::Lent(part(text)),
            Self::Made(text) => {
                let part = part(text);
                if part.len() == text.len() { self.clone() } else { Self::Made(part.into()) }
            }
        }
    }

    /// The parts of this text between separators: none of an empty text, each character by an empty separator.
    pub(super) fn split(&self, separator: &str) -> Vec<Value<'p>> {
        match self {
            Self::Lent(text) => parts(text, separator).map(|part| Value::Text(Self::Lent(part))).collect(),
            Self::Made(text) => parts(text, separator).map(Value::text).collect(),
        }
    }
}

fn parts<'t>(text: &'t str, separator: &str) -> Box<dyn Iterator<Item = &'t str> + 't> {
    if text.is_empty() {
        Box::new(std::iter::empty())
    } else if separator.is_empty() {
        // The ends of an empty separator are no characters.
        Box::new(text.split("").filter(|part| !part.is_empty()))
    } else {
        let parts: Vec<_> = text.split(separator).collect();
        Box::new(parts.into_iter())
    }
}

impl fmt::Debug for Text<'_> {
    /// Quotes it as any other text: it stands in what senders are answered.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Lent(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'p> From<Cow<'p, str>> for Text<'p> {
    fn from(text: Cow<'p, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Lent(text),
            Cow::Owned(text) => Self::Made(text.into()),
        }
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(self, state);
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            _ => self.cmp(other).is_eq(),
        }
    }
}

impl Eq for Value<'_> {}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value<'_> {
    /// jq's order: null, false, true, numbers, texts, arrays, objects.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Array(one), Self::Array(other)) => one.items.cmp(&other.items),
            (Self::Object(one), Self::Object(other)) => one.cmp(other),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

fn rank(value: &Value<'_>) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

impl fmt::Display for Value<'_> {
    /// Writes it as JSON, without white space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(it) => it.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => quoted(text, f),
            Self::Array(array) => {
                f.write_str("[")?;
                for (index, item) in array.items.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(object) => {
                f.write_str("{")?;
                for (index, (key, value)) in object.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    quoted(key, f)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Writes a text as JSON does.
fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let json = serde_json::to_string(text).map_err(|_json| fmt::Error)?;
    f.write_str(&json)
}
