//! Reads JSON strictly: bounded in depth and size, no duplicate keys, numbers kept as they are written.

use hifijson::num::LexWrite as _;
use hifijson::str::LexAlloc as _;
use hifijson::token::Lex as _;
use hifijson::{Expect, SliceLexer};

use super::number::Number;
use super::object::Object;
use super::value::{Text, Value};

/// How deep a payload may nest.
const DEPTH_MAX: u32 = 32;

/// How many values a payload may hold: 256 KiB of real alerts hold fewer than 10,000.
const NODES_MAX: u32 = 20_000;

/// Why a text is not the JSON it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub problem: JsonProblem,
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place in bytes, from 1.
    pub column: usize,
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    /// Not JSON (RFC 8259), or more than one value.
    #[error("{0}")]
    Syntax(String),
    /// Nests too deep.
    #[error("nests deeper than 32 levels")]
    TooDeep,
    /// Holds too many values.
    #[error("holds more than 20,000 values")]
    TooLarge,
    /// A key stands twice in one object, perhaps in two spellings.
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
}

impl From<Expect> for JsonProblem {
    fn from(expected: Expect) -> Self {
        Self::Syntax(format!("{expected} expected"))
    }
}

/// Reads exactly one JSON value.
pub(super) fn read(text: &[u8]) -> Result<Value<'_>, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.document();
    value.map_err(|problem| reader.located(problem, text))
}

/// Reads JSON values run together, with or without white space between them; the limits hold for all of them.
pub(super) fn read_all(text: &[u8]) -> Result<Vec<Value<'_>>, JsonError> {
    let mut reader = Reader::new(text);
    let values = reader.documents();
    values.map_err(|problem| reader.located(problem, text))
}

/// Puts a problem at the end of what was read before it.
fn located(problem: JsonProblem, read: &[u8]) -> JsonError {
    let mut lines = read.rsplit(|b| *b == b'\n');
    let column = lines.next().map_or(0, <[u8]>::len).saturating_add(1);
    let line = lines.count().saturating_add(1);
    JsonError { problem, line, column }
}

struct Reader<'a> {
    lexer: SliceLexer<'a>,
    nodes_left: u32,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { lexer: SliceLexer::new(text), nodes_left: NODES_MAX }
    }

    /// Puts a problem at the place that was read up to.
    fn located(&self, problem: JsonProblem, text: &[u8]) -> JsonError {
        let rest = self.lexer.as_slice().len();
        let (read, _) = text.split_at(text.len().saturating_sub(rest));
        located(problem, read)
    }

    /// Reads value after value to the end of the text.
    fn documents(&mut self) -> Result<Vec<Value<'a>>, JsonProblem> {
        let mut values = Vec::new();
        while let Some(first) = self.lexer.ws_peek() {
            values.push(self.value(first, DEPTH_MAX)?);
        }
        if values.is_empty() { Err(Expect::Value.into()) } else { Ok(values) }
    }

    /// Reads the whole text.
    fn document(&mut self) -> Result<Value<'a>, JsonProblem> {
        let first = self.lexer.ws_peek().ok_or(Expect::Value)?;
        let value = self.value(first, DEPTH_MAX)?;
        match self.lexer.ws_peek() {
            None => Ok(value),
            Some(_) => Err(Expect::Eof.into()),
        }
    }

    fn value(&mut self, first: u8, levels_left: u32) -> Result<Value<'a>, JsonProblem> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(JsonProblem::TooLarge)?;
        match first {
            b'[' | b'{' if levels_left == 0 => Err(JsonProblem::TooDeep),
            b'[' => self.array(levels_left.saturating_sub(1)),
            b'{' => self.object(levels_left.saturating_sub(1)),
            b'"' => Ok(Value::Text(self.string()?)),
            b'-' | b'0'..=b'9' => self.number(),
            b'a'..=b'z' => {
                let word = self.lexer.null_or_bool().ok_or(Expect::Value)?;
                Ok(word.map_or(Value::Null, Value::Bool))
            }
            _ => Err(Expect::Value.into()),
        }
    }

    fn array(&mut self, levels_left: u32) -> Result<Value<'a>, JsonProblem> {
        let mut items = Vec::new();
        let mut next = self.opened(b']')?;
        while let Some(first) = next {
            items.push(self.value(first, levels_left)?);
            next = self.another(b']')?;
        }
        Ok(Value::array(items))
    }

    fn object(&mut self, levels_left: u32) -> Result<Value<'a>, JsonProblem> {
        let mut object = Object::default();
        let mut next = self.opened(b'}')?;
        while let Some(first) = next {
            if first != b'"' {
                return Err(Expect::String.into());
            }
            let key = self.string()?;
            self.lexer.expect(SliceLexer::ws_peek, b':').ok_or(Expect::Colon)?;
            let first = self.lexer.ws_peek().ok_or(Expect::Value)?;
            let value = self.value(first, levels_left)?;
            if object.insert(key.clone(), value).is_some() {
                return Err(JsonProblem::DuplicateKey(key.chars().take(80).collect()));
            }
            next = self.another(b'}')?;
        }
        Ok(Value::object(object))
    }

    /// Steps into a sequence; returns the first byte of its first item, if it has one.
    fn opened(&mut self, end: u8) -> Result<Option<u8>, JsonProblem> {
        self.lexer.discarded();
        let next = self.lexer.ws_peek().ok_or(Expect::ValueOrEnd)?;
        if next == end {
            self.lexer.discarded();
            return Ok(None);
        }
        Ok(Some(next))
    }

    /// Steps over a comma or the end of a sequence; returns the first byte of the next item, if there is one.
    fn another(&mut self, end: u8) -> Result<Option<u8>, JsonProblem> {
        let next = self.lexer.ws_peek().ok_or(Expect::CommaOrEnd)?;
        self.lexer.discarded();
        if next == end {
            return Ok(None);
        }
        if next != b',' {
            return Err(Expect::CommaOrEnd.into());
        }
        Ok(Some(self.lexer.ws_peek().ok_or(Expect::Value)?))
    }

    fn string(&mut self) -> Result<Text<'a>, JsonProblem> {
        let text = self.lexer.discarded().str_string();
        text.map(Text::from).map_err(|error| JsonProblem::Syntax(error.to_string()))
    }

    fn number(&mut self) -> Result<Value<'a>, JsonProblem> {
        let text = self.lexer.num_string().validated();
        let (text, _) = text.map_err(|error| JsonProblem::Syntax(error.to_string()))?;
        Ok(Value::Number(Number::read(Text::Lent(text))))
    }
}
