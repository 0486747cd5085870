//! Makes a checked syntax tree ready to run, or names what it calls that does not exist.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern as ParsedPattern, Term as Parsed};
use jaq_core::path::{Opt, Part as ParsedPart};

use super::natives::Native;
use super::term::{Argument, Call, Code, Constant, Logic, Lookup, Node, Part, Pattern, Term};

/// A name that stands for nothing, with what it should stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undefined<'s> {
    pub(super) what: &'static str,
    pub(super) name: &'s str,
}

/// Compiles a program that may call the given definitions and that `subset` has checked.
pub(super) fn compile<'s>(known: &[Def<&'s str>], program: &Parsed<&'s str>) -> Result<Code, Undefined<'s>> {
    let mut compiler = Compiler { names: Vec::new(), definitions: Vec::new() };
    for def in known {
        compiler.definition(def)?;
    }
    let main = compiler.node(program)?;
    Ok(Code { definitions: compiler.definitions, main })
}

/// A name in scope. All but definitions have a frame when the program runs.
#[derive(Debug, Clone)]
enum Name<'s> {
    Variable(&'s str),
    Parameter(&'s str),
    /// A variable of a pattern, while what stands in the pattern itself is compiled.
    Hidden,
    Definition(Known<'s>),
}

#[derive(Debug, Clone)]
struct Known<'s> {
    name: &'s str,
    /// For each parameter, whether it takes a value.
    takes_value: Vec<bool>,
    /// Its place in [`Code::definitions`].
    place: usize,
}

impl Name<'_> {
    fn has_frame(&self) -> bool {
        !matches!(self, Self::Definition(_))
    }
}

struct Compiler<'s> {
    names: Vec<Name<'s>>,
    definitions: Vec<Node>,
}

type Compiled<'s, T = Node> = Result<T, Undefined<'s>>;

impl<'s> Compiler<'s> {
    fn node(&mut self, term: &Parsed<&'s str>) -> Compiled<'s> {
        let term = match term {
            Parsed::Id => Term::Input,
            Parsed::Recurse => Term::Recurse,
            Parsed::Num(digits) => number(digits),
            Parsed::Str(format, parts) => return self.text(*format, parts),
            Parsed::Arr(inner) => Term::Array(self.optional(inner.as_deref())?),
            Parsed::Obj(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| self.pair(key, value.as_ref()));
                Term::Object(pairs.collect::<Result<_, _>>()?)
            }
            Parsed::Neg(inner) => Term::Negative(self.boxed(inner)?),
            Parsed::BinOp(left, op, right) => self.operation(left, op, right)?,
            Parsed::TryCatch(tried, caught) => {
                Term::Try(self.boxed(tried)?, self.optional(caught.as_deref())?)
            }
            Parsed::IfThenElse(branches, otherwise) => return self.branches(branches, otherwise.as_deref()),
            Parsed::Def(defs, body) => return self.local(defs, body),
            Parsed::Call(name, arguments) => return self.call(name, arguments),
            Parsed::Var(name) => self.variable(name)?,
            Parsed::Path(head, path) => {
                let head = self.boxed(head)?;
                let parts = path.0.iter().map(|(part, optional)| self.part(part, *optional));
                Term::Path(head, parts.collect::<Result<_, _>>()?)
            }
            // The subset has none of these.
            Parsed::Label(name, _) | Parsed::Break(name) | Parsed::Fold(name, ..) => {
                return Err(Undefined { what: "word", name });
            }
        };
        Ok(Node::new(term))
    }

    fn boxed(&mut self, term: &Parsed<&'s str>) -> Compiled<'s, Box<Node>> {
        self.node(term).map(Box::new)
    }

    fn optional(&mut self, term: Option<&Parsed<&'s str>>) -> Compiled<'s, Option<Box<Node>>> {
        term.map(|term| self.boxed(term)).transpose()
    }

    fn text(&mut self, format: Option<&'s str>, parts: &[StrPart<&'s str, Parsed<&'s str>>]) -> Compiled<'s> {
        if let Some(name) = format {
            return Err(Undefined { what: "filter", name });
        }
        let mut nodes = Vec::new();
        let mut plain = String::new();
        for part in parts {
            match part {
                StrPart::Str(text) => plain.push_str(text),
                StrPart::Char(character) => plain.push(*character),
                StrPart::Term(term) => {
                    if !plain.is_empty() {
                        nodes.push(constant(&std::mem::take(&mut plain)));
                    }
                    nodes.push(self.node(term)?);
                }
            }
        }
        if nodes.is_empty() {
            return Ok(constant(&plain));
        }
        if !plain.is_empty() {
            nodes.push(constant(&plain));
        }
        Ok(Node::new(Term::Interpolated(nodes)))
    }

    /// A pair of an object: `{a: f}`, or `{a}` and `{$a}` for short.
    fn pair(&mut self, key: &Parsed<&'s str>, value: Option<&Parsed<&'s str>>) -> Compiled<'s, (Node, Node)> {
        let node = match (key, value) {
            (Parsed::Var(name), None) => constant(name.trim_start_matches('$')),
            _ => self.node(key)?,
        };
        let value = match (key, value) {
            (_, Some(value)) => self.node(value)?,
            (Parsed::Var(name), None) => Node::new(self.variable(name)?),
            (key, None) => {
                let part = self.index(key)?;
                Node::new(Term::Path(Node::boxed(Term::Input), vec![(part, Lookup::Essential)]))
            }
        };
        Ok((node, value))
    }

    fn operation(
        &mut self,
        left: &Parsed<&'s str>,
        op: &BinaryOp<&'s str>,
        right: &Parsed<&'s str>,
    ) -> Compiled<'s, Term> {
        let left = self.boxed(left)?;
        if let BinaryOp::Pipe(Some(pattern)) = op {
            let outside = self.names.len();
            let compiled = self.pattern(pattern)?;
            self.names.truncate(outside);
            self.names.extend(pattern_names(pattern).into_iter().map(Name::Variable));
            let body = self.boxed(right)?;
            self.names.truncate(outside);
            return Ok(Term::Bind(left, compiled, body));
        }
        let right = self.boxed(right)?;
        Ok(match op {
            BinaryOp::Pipe(_) => Term::Pipe(left, right),
            BinaryOp::Comma => Term::Comma(left, right),
            BinaryOp::Alt => Term::Alternative(left, right),
            BinaryOp::Or => Term::Logic(left, Logic::Or, right),
            BinaryOp::And => Term::Logic(left, Logic::And, right),
            BinaryOp::Math(math) => Term::Arithmetic(left, *math, right),
            BinaryOp::Cmp(comparison) => Term::Comparison(left, *comparison, right),
            // The subset has none of these.
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                return Err(Undefined { what: "operator", name: "=" });
            }
        })
    }

    /// Compiles a pattern. Its variables have frames already, but no names within it.
    fn pattern(&mut self, pattern: &ParsedPattern<&'s str>) -> Compiled<'s, Pattern> {
        Ok(match pattern {
            ParsedPattern::Var(_) => {
                self.names.push(Name::Hidden);
                Pattern::Variable
            }
            ParsedPattern::Arr(items) => {
                let mut parts = Vec::new();
                for (index, item) in (0..).zip(items) {
                    let index = Node::new(Term::Constant(Constant::Whole(index)));
                    parts.push((index, self.pattern(item)?));
                }
                Pattern::Parts(parts)
            }
            ParsedPattern::Obj(pairs) => {
                let mut parts = Vec::new();
                for (key, value) in pairs {
                    parts.push((self.node(key)?, self.pattern(value)?));
                }
                Pattern::Parts(parts)
            }
        })
    }

    fn branches(
        &mut self,
        branches: &[(Parsed<&'s str>, Parsed<&'s str>)],
        otherwise: Option<&Parsed<&'s str>>,
    ) -> Compiled<'s> {
        let mut node = match otherwise {
            Some(otherwise) => self.node(otherwise)?,
            None => Node::new(Term::Input),
        };
        for (condition, then) in branches.iter().rev() {
            node = Node::new(Term::If(self.boxed(condition)?, self.boxed(then)?, Box::new(node)));
        }
        Ok(node)
    }

    fn part(&mut self, part: &ParsedPart<Parsed<&'s str>>, optional: Opt) -> Compiled<'s, (Part, Lookup)> {
        let mut bound = |bound: &Option<Parsed<&'s str>>| bound.as_ref().map(|it| self.node(it)).transpose();
        let part = match part {
            ParsedPart::Range(None, None) => Part::Each,
            ParsedPart::Range(from, upto) => Part::Slice(bound(from)?, bound(upto)?),
            ParsedPart::Index(index) => self.index(index)?,
        };
        let lookup = if matches!(optional, Opt::Optional) { Lookup::Optional } else { Lookup::Essential };
        Ok((part, lookup))
    }

    fn index(&mut self, index: &Parsed<&'s str>) -> Compiled<'s, Part> {
        let node = self.node(index)?;
        Ok(match node.term {
            Term::Constant(Constant::Text(key)) => Part::Key(key),
            _ => Part::Index(node),
        })
    }

    fn local(&mut self, defs: &[Def<&'s str>], body: &Parsed<&'s str>) -> Compiled<'s> {
        let outside = self.names.len();
        for def in defs {
            self.definition(def)?;
        }
        let body = self.node(body)?;
        self.names.truncate(outside);
        Ok(body)
    }

    /// Compiles a definition and leaves its name behind.
    fn definition(&mut self, def: &Def<&'s str>) -> Compiled<'s, ()> {
        let outside = self.names.len();
        self.names.extend(
            def.args
                .iter()
                .map(|arg| if arg.starts_with('$') { Name::Variable(arg) } else { Name::Parameter(arg) }),
        );
        let body = self.node(&def.body)?;
        self.names.truncate(outside);
        let takes_value = def.args.iter().map(|arg| arg.starts_with('$')).collect();
        let place = self.definitions.len();
        self.definitions.push(body);
        self.names.push(Name::Definition(Known { name: def.name, takes_value, place }));
        Ok(())
    }

    fn variable(&mut self, name: &'s str) -> Compiled<'s, Term> {
        let found = self.outwards(|it| matches!(it, Name::Variable(variable) if *variable == name));
        found.map(|(outwards, _)| Term::Variable(outwards)).ok_or(Undefined { what: "variable", name })
    }

    /// Finds the innermost name that is meant, and how many frames outwards it stands.
    fn outwards(&self, is_meant: impl Fn(&Name<'s>) -> bool) -> Option<(usize, &Name<'s>)> {
        let place = self.names.iter().rposition(is_meant)?;
        let inner = self.names.iter().skip(place).skip(1).filter(|it| it.has_frame()).count();
        Some((inner, self.names.get(place)?))
    }

    fn call(&mut self, name: &'s str, arguments: &[Parsed<&'s str>]) -> Compiled<'s> {
        let found = self.outwards(|it| match it {
            Name::Parameter(parameter) => *parameter == name && arguments.is_empty(),
            Name::Definition(known) => known.name == name && known.takes_value.len() == arguments.len(),
            Name::Variable(_) | Name::Hidden => false,
        });
        let (outwards, known) = match found {
            Some((outwards, Name::Definition(known))) => (outwards, known.clone()),
            Some((outwards, _)) => return Ok(Node::new(Term::Parameter(outwards))),
            None => return self.native(name, arguments),
        };
        let arguments = arguments.iter().map(|it| self.node(it)).collect::<Result<Vec<_>, _>>()?;
        let values = arguments.iter().zip(&known.takes_value).filter(|(_, takes_value)| **takes_value);
        let is_single = self.definitions.get(known.place).is_some_and(|body| body.is_single)
            && values.into_iter().all(|(argument, _)| argument.is_single);
        let arguments = arguments.into_iter().zip(&known.takes_value).map(|(argument, takes_value)| {
            if *takes_value { Argument::Value(argument) } else { Argument::Filter(argument) }
        });
        let call = Call { definition: known.place, outwards, arguments: arguments.collect() };
        Ok(Node { term: Term::Call(call), is_single })
    }

    fn native(&mut self, name: &'s str, arguments: &[Parsed<&'s str>]) -> Compiled<'s> {
        let native = Native::named(name, arguments.len()).ok_or(Undefined { what: "filter", name })?;
        let arguments = arguments.iter().map(|it| self.node(it)).collect::<Result<_, _>>()?;
        Ok(Node::new(match native {
            Native::Null => Term::Constant(Constant::Null),
            Native::True => Term::Constant(Constant::Bool(true)),
            Native::False => Term::Constant(Constant::Bool(false)),
            _ => Term::Native(native, arguments),
        }))
    }
}

fn number(digits: &str) -> Term {
    Term::Constant(digits.parse().map_or_else(|_| Constant::Number(digits.into()), Constant::Whole))
}

fn constant(text: &str) -> Node {
    Node::new(Term::Constant(Constant::Text(text.into())))
}

/// The variables of a pattern, in the order in which they are bound.
fn pattern_names<'s>(pattern: &ParsedPattern<&'s str>) -> Vec<&'s str> {
    match pattern {
        ParsedPattern::Var(name) => vec![name],
        ParsedPattern::Arr(items) => items.iter().flat_map(pattern_names).collect(),
        ParsedPattern::Obj(pairs) => pairs.iter().flat_map(|(_, value)| pattern_names(value)).collect(),
    }
}
