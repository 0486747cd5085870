//! Holds a format to a total subset of jq, on its syntax tree, before it is compiled.
//!
//! Refused is what could recurse, loop without a bound, nest without a bound or change values. What remains
//! ends on its own; how much it may do until then is for `meter`. The height of a program, its definitions
//! unfolded, bounds the interpreter's recursion.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::Part;

/// How high a program may be; the threads that run programs have stack for several times as much.
const HEIGHT_MAX: usize = 400;

/// How many arguments a definition may have; the interpreter recurses over them.
const ARGUMENTS_MAX: usize = 10;

/// Something in a program that formats may not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused<'s> {
    /// What it is and why it is refused.
    pub(super) what: &'static str,
    /// The piece of the program nearest to it, if it is known.
    pub(super) near: Option<&'s str>,
}

/// Checks a program that may call the given definitions.
pub(super) fn check<'s>(known: &[Def<&'s str>], program: &Term<&'s str>) -> Result<(), Refused<'s>> {
    let mut checker = Checker { scope: Vec::new(), near: None };
    for def in known {
        checker.definition(def)?;
    }
    checker.near = None;
    if checker.term(program)? > HEIGHT_MAX {
        return checker.refuse("the program nests deeper than 400 levels, its definitions unfolded");
    }
    Ok(())
}

/// A name that calls can mean.
struct Known<'s> {
    name: &'s str,
    arity: usize,
    /// Height of its body; `None` while its definition is being read, when a call would recurse.
    height: Option<usize>,
}

struct Checker<'s> {
    scope: Vec<Known<'s>>,
    near: Option<&'s str>,
}

/// The height of what was checked.
type Checked<'s> = Result<usize, Refused<'s>>;

impl<'s> Checker<'s> {
    fn refuse<T>(&self, what: &'static str) -> Result<T, Refused<'s>> {
        Err(Refused { what, near: self.near })
    }

    fn term(&mut self, term: &Term<&'s str>) -> Checked<'s> {
        Ok(self.node(term)?.saturating_add(1))
    }

    /// Checks terms that the interpreter handles one inside the other.
    fn chain<'t, I>(&mut self, terms: I) -> Checked<'s>
    where
        I: IntoIterator<Item = &'t Term<&'s str>>,
        's: 't,
    {
        let mut highest = 0;
        let mut count: usize = 0;
        for term in terms {
            highest = self.term(term)?.max(highest);
            count = count.saturating_add(1);
        }
        Ok(count.saturating_add(highest))
    }

    fn node(&mut self, term: &Term<&'s str>) -> Checked<'s> {
        match term {
            Term::Id | Term::Recurse => Ok(0),
            Term::Num(text) | Term::Var(text) => {
                self.near = Some(text);
                Ok(0)
            }
            Term::Str(_, parts) => self.parts(parts),
            Term::Arr(inner) => self.chain(inner.as_deref()),
            Term::Obj(pairs) => {
                self.chain(pairs.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]).flatten())
            }
            Term::Neg(inner) => self.term(inner),
            Term::BinOp(left, op, right) => self.operation(left, op, right),
            Term::Label(name, _) | Term::Break(name) => {
                self.near = Some(name);
                self.refuse("label and break are not available; use first or limit")
            }
            Term::Fold(word, ..) => {
                self.near = Some(word);
                self.refuse("reduce and foreach are not available; use map, add, any, all or from_entries")
            }
            Term::TryCatch(tried, caught) => {
                self.chain([Some(tried.as_ref()), caught.as_deref()].into_iter().flatten())
            }
            Term::IfThenElse(branches, otherwise) => {
                let branches = branches.iter().flat_map(|(condition, then)| [condition, then]);
                self.chain(branches.chain(otherwise.as_deref()))
            }
            Term::Def(defs, body) => self.definitions(defs, body),
            Term::Call(name, arguments) => self.call(name, arguments),
            Term::Path(head, path) => {
                let parts = path.0.iter().flat_map(|(part, _)| match part {
                    Part::Index(index) => [Some(index), None],
                    Part::Range(from, upto) => [from.as_ref(), upto.as_ref()],
                });
                let height = self.chain(std::iter::once(head.as_ref()).chain(parts.flatten()))?;
                Ok(height.saturating_add(path.0.len()))
            }
        }
    }

    fn parts(&mut self, parts: &[StrPart<&'s str, Term<&'s str>>]) -> Checked<'s> {
        let mut highest = 0;
        for part in parts {
            match part {
                StrPart::Str(text) => self.near = Some(text),
                StrPart::Char(_) => {}
                StrPart::Term(term) => highest = self.term(term)?.max(highest),
            }
        }
        Ok(highest.saturating_add(parts.len()))
    }

    fn operation(
        &mut self,
        left: &Term<&'s str>,
        op: &BinaryOp<&'s str>,
        right: &Term<&'s str>,
    ) -> Checked<'s> {
        let left = self.term(left)?;
        let middle = match op {
            BinaryOp::Math(Math::Mul) => {
                return self.refuse("* is not available: it multiplies texts");
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                return self.refuse("=, |=, += and the like are not available: formats only read");
            }
            BinaryOp::Pipe(Some(pattern)) => self.pattern(pattern)?,
            BinaryOp::Pipe(None)
            | BinaryOp::Comma
            | BinaryOp::Alt
            | BinaryOp::Or
            | BinaryOp::And
            | BinaryOp::Math(Math::Add | Math::Sub | Math::Div | Math::Rem)
            | BinaryOp::Cmp(_) => 0,
        };
        Ok(left.max(self.term(right)?).saturating_add(middle))
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Checked<'s> {
        let mut height: usize = 1;
        match pattern {
            Pattern::Var(name) => self.near = Some(name),
            Pattern::Arr(items) => {
                for item in items {
                    height = height.saturating_add(self.pattern(item)?);
                }
            }
            Pattern::Obj(pairs) => {
                for (key, value) in pairs {
                    height = height.saturating_add(self.term(key)?);
                    height = height.saturating_add(self.pattern(value)?);
                }
            }
        }
        Ok(height)
    }

    fn definitions(&mut self, defs: &[Def<&'s str>], body: &Term<&'s str>) -> Checked<'s> {
        let outside = self.scope.len();
        for def in defs {
            self.definition(def)?;
        }
        let height = self.term(body)?;
        self.scope.truncate(outside);
        Ok(height)
    }

    /// Reads a definition with its own name open, then leaves the name behind with its height.
    fn definition(&mut self, def: &Def<&'s str>) -> Result<(), Refused<'s>> {
        self.near = Some(def.name);
        let outside = self.scope.len();
        let arity = def.args.len();
        if arity > ARGUMENTS_MAX {
            return self.refuse("a definition may have at most 10 arguments");
        }
        self.scope.push(Known { name: def.name, arity, height: None });
        let filters = def.args.iter().filter(|arg| !arg.starts_with('$'));
        self.scope.extend(filters.map(|name| Known { name, arity: 0, height: Some(0) }));
        let height = self.term(&def.body)?;
        self.scope.truncate(outside);
        self.scope.push(Known { name: def.name, arity, height: Some(height) });
        Ok(())
    }

    /// The body of what is called, unfolded, with its arguments inside.
    fn call(&mut self, name: &'s str, arguments: &[Term<&'s str>]) -> Checked<'s> {
        self.near = Some(name);
        let meant = |known: &&Known<'_>| known.name == name && known.arity == arguments.len();
        let height = match self.scope.iter().rev().find(meant).map(|known| known.height) {
            Some(Some(height)) => height,
            Some(None) => return self.refuse("a definition may not call itself"),
            // A native function, or a name that does not exist: the compiler will say so.
            None => 0,
        };
        let arguments = self.chain(arguments)?;
        self.near = Some(name);
        Ok(height.saturating_add(arguments))
    }
}
