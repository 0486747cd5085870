//! A checked program, ready to run: names are resolved to places, and what gives exactly one value is marked.

use jaq_core::ops::{Cmp, Math};

use super::natives::Native;

/// A program and the definitions it calls.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) definitions: Vec<Node>,
    pub(super) main: Node,
}

/// A piece of a program.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) term: Term,
    /// Whether it gives exactly one value, or an error, whatever its input is.
    pub(super) is_single: bool,
}

/// What a piece of a program does with its input.
#[derive(Debug)]
pub(super) enum Term {
    /// `.`
    Input,
    /// `..`
    Recurse,
    Constant(Constant),
    /// `"a\(f)b"`: the texts of what its parts give, put together.
    Interpolated(Vec<Node>),
    /// `[f]`
    Array(Option<Box<Node>>),
    /// `{f: g}`
    Object(Vec<(Node, Node)>),
    /// `-f`
    Negative(Box<Node>),
    /// `f | g`
    Pipe(Box<Node>, Box<Node>),
    /// `f as $x | g`
    Bind(Box<Node>, Pattern, Box<Node>),
    /// `f, g`
    Comma(Box<Node>, Box<Node>),
    /// `f // g`
    Alternative(Box<Node>, Box<Node>),
    /// `f and g`, `f or g`
    Logic(Box<Node>, Logic, Box<Node>),
    Arithmetic(Box<Node>, Math, Box<Node>),
    Comparison(Box<Node>, Cmp, Box<Node>),
    /// `try f catch g`
    Try(Box<Node>, Option<Box<Node>>),
    /// `if f then g else h end`
    If(Box<Node>, Box<Node>, Box<Node>),
    /// A variable, so many frames outwards.
    Variable(usize),
    /// A call of a filter that the definition was given, so many frames outwards.
    Parameter(usize),
    Call(Call),
    Native(Native, Vec<Node>),
    /// `f.a[g][]`
    Path(Box<Node>, Vec<(Part, Lookup)>),
}

/// A value that stands in a program.
#[derive(Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Whole(i64),
    /// A number in the digits of the program.
    Number(Box<str>),
    Text(Box<str>),
}

/// Which value of its left side decides `and` or `or`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
}

/// What a value is taken apart into.
#[derive(Debug)]
pub(super) enum Pattern {
    Variable,
    /// What stands under each key or index.
    Parts(Vec<(Node, Pattern)>),
}

/// A call of a definition.
#[derive(Debug)]
pub(super) struct Call {
    /// Its place in [`Code::definitions`].
    pub(super) definition: usize,
    /// How many frames outwards the definition stands.
    pub(super) outwards: usize,
    pub(super) arguments: Vec<Argument>,
}

/// What a definition is given.
#[derive(Debug)]
pub(super) enum Argument {
    /// A filter, run where the definition calls it.
    Filter(Node),
    /// A value; each value that it gives is a call of its own.
    Value(Node),
}

/// A step of a path.
#[derive(Debug)]
pub(super) enum Part {
    Key(Box<str>),
    Index(Node),
    Slice(Option<Node>, Option<Node>),
    Each,
}

/// What becomes of a step that a value does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    Essential,
    /// `?`: it gives nothing.
    Optional,
}

impl Node {
    pub(super) fn new(term: Term) -> Self {
        let is_single = is_single(&term);
        Self { term, is_single }
    }

    pub(super) fn boxed(term: Term) -> Box<Self> {
        Box::new(Self::new(term))
    }
}

fn is_single(term: &Term) -> bool {
    let both = |one: &Node, other: &Node| one.is_single && other.is_single;
    match term {
        Term::Input | Term::Constant(_) | Term::Array(_) | Term::Variable(_) => true,
        // Whoever makes a call knows whether its definition is single.
        Term::Recurse | Term::Comma(..) | Term::Parameter(_) | Term::Try(_, None) | Term::Call(_) => false,
        Term::Interpolated(parts) => parts.iter().all(|part| part.is_single),
        Term::Object(pairs) => pairs.iter().all(|(key, value)| both(key, value)),
        Term::Negative(inner) => inner.is_single,
        Term::Bind(value, pattern, body) => both(value, body) && is_single_pattern(pattern),
        Term::Pipe(one, other)
        | Term::Alternative(one, other)
        | Term::Logic(one, _, other)
        | Term::Arithmetic(one, _, other)
        | Term::Comparison(one, _, other)
        | Term::Try(one, Some(other)) => both(one, other),
        Term::If(condition, one, other) => condition.is_single && both(one, other),
        Term::Native(native, arguments) => native.is_single(arguments),
        Term::Path(head, parts) => head.is_single && parts.iter().all(is_single_part),
    }
}

fn is_single_pattern(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Variable => true,
        Pattern::Parts(parts) => parts.iter().all(|(key, part)| key.is_single && is_single_pattern(part)),
    }
}

fn is_single_part((part, lookup): &(Part, Lookup)) -> bool {
    let single = |node: &Option<Node>| node.as_ref().is_none_or(|node| node.is_single);
    *lookup == Lookup::Essential
        && match part {
            Part::Key(_) => true,
            Part::Index(index) => index.is_single,
            Part::Slice(from, upto) => single(from) && single(upto),
            Part::Each => false,
        }
}
