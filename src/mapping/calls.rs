//! Gives names to values: the variables of a pattern, and what a definition is called with.

use super::evaluate::Run;
use super::scope::{Answer, At, Frame, Scope, Slot, outwards, raise};
use super::term::{Argument, Call, Node, Pattern};
use super::value::Value;

/// What is done in the scope that has the names.
type Inside<'t, 'p> = &'t mut dyn FnMut(At<'_, 'p>) -> Answer<'p, ()>;

impl<'p> Run<'p> {
    /// Gives the parts of a value names, then goes on in that scope.
    pub(super) fn bind(
        &self,
        pattern: &'p Pattern,
        value: &Value<'p>,
        at: At<'_, 'p>,
        then: Inside<'_, 'p>,
    ) -> Answer<'p, ()> {
        match pattern {
            Pattern::Variable => {
                let frame = Frame { slot: Slot::Value(value.clone()), outer: at.scope };
                then(at.within(Some(&frame)))
            }
            Pattern::Parts(parts) => self.bind_parts(parts, value, at, then),
        }
    }

    fn bind_parts(
        &self,
        parts: &'p [(Node, Pattern)],
        value: &Value<'p>,
        at: At<'_, 'p>,
        then: Inside<'_, 'p>,
    ) -> Answer<'p, ()> {
        let Some(((key, pattern), rest)) = parts.split_first() else {
            return then(at);
        };
        self.each(key, At { scope: at.scope, input: value }, &mut |key| {
            let part = self.index(value, &key)?;
            self.bind(pattern, &part, at, &mut |inner| self.bind_parts(rest, value, inner, then))
        })
    }

    /// Gives the parts of a value names, and runs a piece that gives one value there.
    pub(super) fn one_bound(
        &self,
        value: &'p Node,
        (pattern, body): (&'p Pattern, &'p Node),
        at: At<'_, 'p>,
    ) -> Answer<'p> {
        let value = self.one(value, at)?;
        if matches!(pattern, Pattern::Variable) {
            let frame = Frame { slot: Slot::Value(value), outer: at.scope };
            return self.one(body, at.within(Some(&frame)));
        }
        let mut answer = Value::Null;
        self.bind(pattern, &value, at, &mut |inner| {
            answer = self.one(body, inner)?;
            Ok(())
        })?;
        Ok(answer)
    }

    /// The body of what is called.
    pub(super) fn body(&self, call: &Call) -> Answer<'p, &'p Node> {
        match self.code.definitions.get(call.definition) {
            Some(body) => Ok(body),
            None => raise("the program calls a definition that it does not have"),
        }
    }

    /// Calls a definition that gives one value.
    pub(super) fn one_call(&self, call: &'p Call, at: At<'_, 'p>) -> Answer<'p> {
        let body = self.body(call)?;
        self.one_given(&call.arguments, body, outwards(at.scope, call.outwards), at)
    }

    fn one_given(
        &self,
        arguments: &'p [Argument],
        body: &'p Node,
        scope: Scope<'_, 'p>,
        at: At<'_, 'p>,
    ) -> Answer<'p> {
        let (slot, rest) = match arguments.split_first() {
            None => return self.one(body, at.within(scope)),
            Some((Argument::Filter(node), rest)) => (Slot::Filter(node, at.scope), rest),
            Some((Argument::Value(node), rest)) => (Slot::Value(self.one(node, at)?), rest),
        };
        self.one_given(rest, body, Some(&Frame { slot, outer: scope }), at)
    }

    /// Goes into a definition, once for each way to give it values.
    pub(super) fn enter(&self, call: &'p Call, at: At<'_, 'p>, then: Inside<'_, 'p>) -> Answer<'p, ()> {
        self.give(&call.arguments, outwards(at.scope, call.outwards), at, then)
    }

    fn give(
        &self,
        arguments: &'p [Argument],
        scope: Scope<'_, 'p>,
        at: At<'_, 'p>,
        then: Inside<'_, 'p>,
    ) -> Answer<'p, ()> {
        match arguments.split_first() {
            None => then(at.within(scope)),
            Some((Argument::Filter(node), rest)) => {
                let frame = Frame { slot: Slot::Filter(node, at.scope), outer: scope };
                self.give(rest, Some(&frame), at, then)
            }
            Some((Argument::Value(node), rest)) => self.each(node, at, &mut |value| {
                let frame = Frame { slot: Slot::Value(value), outer: scope };
                self.give(rest, Some(&frame), at, then)
            }),
        }
    }
}
