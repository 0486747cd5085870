//! As much of OData's `$filter` as the API documents: comparisons, and, or, brackets, `startswith`, `any()`
//! over tags.

use std::cmp::Ordering;

use serde_json::Value;

use crate::alert::parse_time;

/// A filter, ready to be asked about records.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(String, Comparison, Literal),
    StartsWith(String, String),
    AnyEquals(String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    /// Not quoted: a time, a number, a boolean, null or a GUID.
    Bare(String),
}

/// Reads a filter over records that may be filtered by the given properties.
pub(super) fn parse(text: &str, properties: &[&str]) -> Result<Filter, String> {
    let mut parser = Parser { rest: text, properties, depth: 0 };
    let filter = parser.alternatives()?;
    if parser.rest.trim().is_empty() { Ok(filter) } else { Err(parser.syntax()) }
}

struct Parser<'a> {
    rest: &'a str,
    properties: &'a [&'a str],
    depth: u32,
}

impl Parser<'_> {
    fn syntax(&self) -> String {
        let near: String = self.rest.trim_start().chars().take(20).collect();
        format!("Syntax error near '{near}'.")
    }

    fn alternatives(&mut self) -> Result<Filter, String> {
        let mut left = self.conjunction()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Filter, String> {
        let mut left = self.single()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Filter, String> {
        if self.sign("(") {
            self.depth = self.depth.saturating_add(1);
            if self.depth > 20 {
                return Err("The filter nests too deep.".to_owned());
            }
            let inner = self.alternatives()?;
            self.depth = self.depth.saturating_sub(1);
            return if self.sign(")") { Ok(inner) } else { Err(self.syntax()) };
        }
        if self.word("startswith") {
            return self.starts_with();
        }
        let property = self.property()?;
        if self.sign("/any(") {
            return self.any_equals(property);
        }
        let comparison = self.comparison()?;
        Ok(Filter::Compare(property, comparison, self.literal()?))
    }

    fn starts_with(&mut self) -> Result<Filter, String> {
        let opened = self.sign("(");
        let property = self.property()?;
        let separated = self.sign(",");
        let Literal::Text(prefix) = self.literal()? else {
            return Err(self.syntax());
        };
        let closed = self.sign(")");
        let well_formed = opened && separated && closed;
        if well_formed { Ok(Filter::StartsWith(property, prefix)) } else { Err(self.syntax()) }
    }

    /// `machineTags/any(t: t eq 'VIP')`, after the opening bracket.
    fn any_equals(&mut self, property: String) -> Result<Filter, String> {
        let variable = self.name()?;
        let colon = self.sign(":");
        let again = self.name()?;
        let equals = self.comparison()? == Comparison::Eq;
        let Literal::Text(value) = self.literal()? else {
            return Err(self.syntax());
        };
        let well_formed = colon && variable == again && equals && self.sign(")");
        if well_formed { Ok(Filter::AnyEquals(property, value)) } else { Err(self.syntax()) }
    }

    /// A property by its name in any case; the documentation writes both.
    fn property(&mut self) -> Result<String, String> {
        let name = self.name()?;
        let known = self.properties.iter().find(|known| known.eq_ignore_ascii_case(&name));
        let unknown = || format!("The property '{name}' cannot be used in the $filter query option.");
        known.map(|known| (*known).to_owned()).ok_or_else(unknown)
    }

    fn name(&mut self) -> Result<String, String> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(self.syntax());
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        let word = self.name()?;
        Ok(match word.as_str() {
            "eq" => Comparison::Eq,
            "ne" => Comparison::Ne,
            "gt" => Comparison::Gt,
            "ge" => Comparison::Ge,
            "lt" => Comparison::Lt,
            "le" => Comparison::Le,
            _ => return Err(format!("Unknown operator '{word}'.")),
        })
    }

    /// A quoted text, in which `''` stands for a quote, or a bare word.
    fn literal(&mut self) -> Result<Literal, String> {
        self.rest = self.rest.trim_start();
        let Some(mut rest) = self.rest.strip_prefix('\'') else {
            let end = self.rest.find([' ', ')', ',']).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return if word.is_empty() { Err(self.syntax()) } else { Ok(Literal::Bare(word.to_owned())) };
        };
        let mut text = String::new();
        while let Some((before, behind)) = rest.split_once('\'') {
            text.push_str(before);
            let Some(more) = behind.strip_prefix('\'') else {
                self.rest = behind;
                return Ok(Literal::Text(text));
            };
            text.push('\'');
            rest = more;
        }
        Err("Unterminated string literal.".to_owned())
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        let Some(behind) = rest.strip_prefix(word) else {
            return false;
        };
        let ends = !behind.starts_with(|c: char| c.is_ascii_alphanumeric());
        if ends {
            self.rest = behind;
        }
        ends
    }

    fn sign(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start();
        let behind = rest.strip_prefix(sign);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }
}

impl Filter {
    /// Says whether a record passes.
    pub(super) fn matches(&self, record: &Value) -> bool {
        match self {
            Self::And(left, right) => left.matches(record) && right.matches(record),
            Self::Or(left, right) => left.matches(record) || right.matches(record),
            Self::Compare(property, comparison, literal) => {
                let value = record.get(property).unwrap_or(&Value::Null);
                compare(value, *comparison, literal)
            }
            Self::StartsWith(property, prefix) => {
                let value = record.get(property).and_then(Value::as_str);
                value.is_some_and(|value| value.starts_with(prefix.as_str()))
            }
            Self::AnyEquals(property, wanted) => {
                let values = record.get(property).and_then(Value::as_array);
                values.is_some_and(|values| values.iter().any(|value| value == wanted))
            }
        }
    }
}

fn compare(value: &Value, comparison: Comparison, literal: &Literal) -> bool {
    let ordering = match (value, literal) {
        (Value::Null, Literal::Bare(word)) if word == "null" => Some(Ordering::Equal),
        (Value::String(text), Literal::Text(wanted)) => Some(text.as_str().cmp(wanted)),
        (Value::String(text), Literal::Bare(wanted)) => {
            let times = parse_time(text).zip(parse_time(wanted));
            Some(times.map_or_else(|| text.as_str().cmp(wanted), |(have, want)| have.cmp(&want)))
        }
        (other, Literal::Bare(wanted)) => {
            let written = other.to_string();
            (written == *wanted).then_some(Ordering::Equal)
        }
        (_, Literal::Text(_)) => None,
    };
    match comparison {
        Comparison::Eq => ordering == Some(Ordering::Equal),
        Comparison::Ne => ordering != Some(Ordering::Equal),
        Comparison::Gt => ordering == Some(Ordering::Greater),
        Comparison::Ge => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Lt => ordering == Some(Ordering::Less),
        Comparison::Le => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
    }
}
