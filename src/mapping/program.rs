//! A format's jq program: checked and compiled once, run for every delivery.

use std::fmt;
use std::thread;

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use jaq_json::Val;

use super::meter::{self, Cancel, Stopped};
use super::natives::natives;
use super::subset;
use super::value::Value;

/// Definitions of standard jq names, for programs that run here.
const PRELUDE: &str = include_str!("prelude.jq");

/// Definitions that formats share, for programs that run here or in any jq.
pub const SHARED: &str = include_str!("shared.jq");

/// The longest program taken; the longest built-in one is a tenth of it.
const PROGRAM_BYTES_MAX: usize = 16 * 1024;

/// How many values a program may answer for one delivery.
const OUTPUTS_MAX: usize = 1_000;

/// Stack for reading a program: the parser recurses, at most once a byte of the program, by up to 9 KiB in a
/// debug build.
const LOAD_STACK_BYTES: usize = 256 * 1024 * 1024;

/// Why a program is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ProgramError {
    /// Line of the place, from 1.
    pub line: usize,
    /// What is wrong there and what to do.
    pub problem: String,
}

/// Why a program gave no answer for a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The program raised an error.
    #[error("the format's program failed: {0}")]
    Raised(String),
    /// The program wanted to do too much.
    #[error("the format's program needs too many steps for this payload")]
    TooMuchWork,
    /// The program built a value that nests too deep.
    #[error("the format's program builds a value that nests too deep")]
    TooDeep,
    /// The watchdog stopped it.
    #[error("the format's program took too long")]
    TooSlow,
    /// The program answered more values than can be meant.
    #[error("the format's program answers more than 1,000 alerts")]
    TooManyAlerts,
    /// The interpreter broke.
    #[error("the interpreter of the format's program failed; please report it with the payload")]
    Broken,
}

/// A compiled program.
pub(super) struct Program(Filter<JustLut<Value>>);

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    /// Checks and compiles a program.
    pub(super) fn load(code: &str) -> Result<Self, ProgramError> {
        if code.len() > PROGRAM_BYTES_MAX {
            let problem = "the program is longer than 16 KiB".to_owned();
            return Err(ProgramError { line: 1, problem });
        }
        // The parser recurses over brackets and operators: no program of 16 KiB can exhaust this stack.
        let loaded = thread::scope(|scope| {
            let loader = thread::Builder::new().stack_size(LOAD_STACK_BYTES);
            loader.spawn_scoped(scope, || compile(code)).map(thread::ScopedJoinHandle::join)
        });
        if let Ok(Ok(result)) = loaded {
            return result.map(Self);
        }
        let problem = "the program could not be read: the parser failed".to_owned();
        Err(ProgramError { line: 1, problem })
    }

    /// Runs the program on the documents of one payload, with one tank of fuel for all.
    pub(super) fn run(&self, inputs: Vec<Value>, cancel: &Cancel) -> Result<Vec<Val>, RunError> {
        let outputs = meter::run(cancel, || {
            let mut outputs = Vec::new();
            for input in inputs {
                self.answer(input, &mut outputs)?;
            }
            Ok(outputs)
        });
        outputs.unwrap_or_else(|stopped| {
            Err(match stopped {
                Stopped::OutOfFuel => RunError::TooMuchWork,
                Stopped::TooDeep => RunError::TooDeep,
                Stopped::Cancelled => RunError::TooSlow,
                Stopped::Panicked => RunError::Broken,
            })
        })
    }

    fn answer(&self, input: Value, outputs: &mut Vec<Val>) -> Result<(), RunError> {
        let context = Ctx::<JustLut<Value>>::new(&self.0.lut, Vars::new([]));
        for output in self.0.id.run((context, input)) {
            let value = output.map_err(|exception| RunError::Raised(message(exception)))?;
            if outputs.len() >= OUTPUTS_MAX {
                return Err(RunError::TooManyAlerts);
            }
            // What comes out is walked without a meter later on.
            value.weigh();
            outputs.push(value.into_inner());
        }
        Ok(())
    }
}

/// The text of an error that a program raised, shortened.
fn message(exception: jaq_core::Exn<'_, Value>) -> String {
    match exception.get_err() {
        Ok(error) => {
            let raised = error.into_val();
            let text = raised.as_str().map_or_else(|| raised.to_string(), ToOwned::to_owned);
            text.chars().take(200).collect()
        }
        Err(_) => "the program left its own control flow".to_owned(),
    }
}

fn compile(code: &str) -> Result<Filter<JustLut<Value>>, ProgramError> {
    let mut known = load::parse(PRELUDE, |parser| parser.defs()).unwrap_or_default();
    known.extend(load::parse(SHARED, |parser| parser.defs()).unwrap_or_default());
    let loader = Loader::new(known.clone());
    let arena = Arena::default();
    let modules = loader.load(&arena, File { code, path: () }).map_err(load_error)?;
    // A program that parses as a module but not as a term begins with import, include or module.
    let term = load::parse(code, |parser| parser.term()).ok_or_else(|| ProgramError {
        line: 1,
        problem: "import, include and module are not available".to_owned(),
    })?;
    subset::check(&known, &term).map_err(|refused| ProgramError {
        line: refused.near.map_or(1, |near| line_of(code, near)),
        problem: refused.what.to_owned(),
    })?;
    Compiler::default().with_funs(natives()).compile(modules).map_err(compile_error)
}

fn load_error(errors: load::Errors<&str, ()>) -> ProgramError {
    let first = errors.into_iter().next();
    let Some((file, error)) = first else {
        return ProgramError { line: 1, problem: "the program could not be read".to_owned() };
    };
    let (place, problem) = match error {
        load::Error::Io(errors) => {
            let place = errors.first().map(|(place, _)| *place);
            (place, "import and include are not available".to_owned())
        }
        load::Error::Lex(errors) => match errors.first() {
            Some((expected, place)) => (Some(*place), format!("expected {}", expected.as_str())),
            None => (None, "the program could not be read".to_owned()),
        },
        load::Error::Parse(errors) => match errors.first() {
            Some((expected, place)) => (Some(*place), format!("expected {}", expected.as_str())),
            None => (None, "the program could not be parsed".to_owned()),
        },
    };
    ProgramError { line: place.map_or(1, |place| line_of(file.code, place)), problem }
}

fn compile_error(errors: jaq_core::compile::Errors<&str, ()>) -> ProgramError {
    let first = errors.into_iter().find_map(|(file, errors)| {
        errors.into_iter().next().map(|(name, undefined)| (file.code, name, undefined))
    });
    match first {
        Some((code, name, undefined)) => ProgramError {
            line: line_of(code, name),
            problem: format!("the {} {name} is not available in formats", undefined.as_str()),
        },
        None => ProgramError { line: 1, problem: "the program could not be compiled".to_owned() },
    }
}

/// Returns the line, from 1, on which a piece of the program begins.
fn line_of(code: &str, piece: &str) -> usize {
    let start = piece.as_ptr().addr().saturating_sub(code.as_ptr().addr());
    let before = code.get(..start).unwrap_or_default();
    before.matches('\n').count().saturating_add(1)
}
