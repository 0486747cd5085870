//! Where a piece of a program runs: its input and what names stand for there; and how it ends.
//!
//! Frames lie on the stack of the thread, each with a reference to the one around it.

use super::meter::{Stopped, check_depth};
use super::term::{Lookup, Node};
use super::value::{Text, Value};

/// Why a piece of a program gave no more.
#[derive(Debug)]
pub(super) enum Ended<'p> {
    /// It raised an error, which the program may catch.
    Raised(Value<'p>),
    /// The run is over.
    Stopped(Stopped),
}

impl Ended<'_> {
    /// Why to end, unless it is an error of a step that may fail.
    pub(super) fn unless<T>(self, lookup: Lookup) -> Result<T, Option<Self>> {
        match self {
            Self::Raised(_) if lookup == Lookup::Optional => Err(None),
            ended => Err(Some(ended)),
        }
    }
}

impl From<Stopped> for Ended<'_> {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// Raises an error with these words.
pub(super) fn raise<T>(words: &'static str) -> Answer<'static, T> {
    Err(Ended::Raised(Value::Text(Text::Lent(words))))
}

/// A container that was made, if it does not nest too deep.
pub(super) fn made(value: Value<'_>) -> Answer<'_> {
    check_depth(&value)?;
    Ok(value)
}

/// What a piece of a program gives.
pub(super) type Answer<'p, T = Value<'p>> = Result<T, Ended<'p>>;

/// Something that a name stands for while a program runs, and the frame around it.
#[derive(Debug)]
pub(super) struct Frame<'e, 'p> {
    pub(super) slot: Slot<'e, 'p>,
    pub(super) outer: Scope<'e, 'p>,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Slot<'e, 'p> {
    Value(Value<'p>),
    /// A filter that a definition was given, and the scope that it was written in.
    Filter(&'p Node, Scope<'e, 'p>),
}

pub(super) type Scope<'e, 'p> = Option<&'e Frame<'e, 'p>>;

/// Where a piece of a program runs: what names stand for, and the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'e, 'p> {
    pub(super) scope: Scope<'e, 'p>,
    pub(super) input: &'e Value<'p>,
}

impl<'e, 'p> At<'e, 'p> {
    pub(super) fn outermost(input: &'e Value<'p>) -> Self {
        Self { scope: None, input }
    }

    /// The same place with another input.
    pub(super) fn with<'f>(self, input: &'f Value<'p>) -> At<'f, 'p>
    where
        'e: 'f,
    {
        At { scope: self.scope, input }
    }

    pub(super) fn variable(self, frames: usize) -> Answer<'p, &'e Value<'p>> {
        match outwards(self.scope, frames) {
            Some(Frame { slot: Slot::Value(value), .. }) => Ok(value),
            _ => raise("the program names a variable that it does not have"),
        }
    }

    /// The filter that the definition around this place was given, and where it runs.
    pub(super) fn filter(self, frames: usize) -> Answer<'p, (&'p Node, At<'e, 'p>)> {
        match outwards(self.scope, frames) {
            Some(Frame { slot: Slot::Filter(node, scope), .. }) => Ok((node, self.within(*scope))),
            _ => raise("the program calls a filter that it does not have"),
        }
    }

    /// The same input in another scope.
    pub(super) fn within<'f>(self, scope: Scope<'f, 'p>) -> At<'f, 'p>
    where
        'e: 'f,
    {
        At { scope, input: self.input }
    }
}

/// The scope so many frames outwards.
pub(super) fn outwards<'e, 'p>(scope: Scope<'e, 'p>, frames: usize) -> Scope<'e, 'p> {
    (0..frames).fold(scope, |scope, _| scope.and_then(|frame| frame.outer))
}
