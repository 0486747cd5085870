//! A format's jq program: checked and compiled once, run for every delivery.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use jaq_core::load::{self, Arena, File, Loader};

use super::compile::compile;
use super::evaluate::Run;
use super::meter::{Cancel, Meter, Stopped};
use super::scope::Ended;
use super::subset;
use super::term::Code;
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
#[derive(Debug)]
pub(super) struct Program(Code);

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
            loader.spawn_scoped(scope, || read(code)).map(thread::ScopedJoinHandle::join)
        });
        if let Ok(Ok(result)) = loaded {
            return result.map(Self);
        }
        let problem = "the program could not be read: the parser failed".to_owned();
        Err(ProgramError { line: 1, problem })
    }

    /// Runs the program on the documents of one payload, with one tank of fuel for all.
    pub(super) fn run<'p>(
        &'p self,
        inputs: &[Value<'p>],
        cancel: &'p Cancel,
    ) -> Result<Vec<Value<'p>>, RunError> {
        let run = Run::new(&self.0, Meter::full(cancel));
        let answer = catch_unwind(AssertUnwindSafe(|| answers(&run, inputs)));
        // A panic is a bug of ours, and its payload alone is refused.
        answer.unwrap_or(Err(RunError::Broken))
    }
}

fn answers<'p>(run: &Run<'p>, inputs: &[Value<'p>]) -> Result<Vec<Value<'p>>, RunError> {
    let mut outputs = Vec::new();
    for input in inputs {
        run.main(input, &mut outputs).map_err(told)?;
        if outputs.len() > OUTPUTS_MAX {
            return Err(RunError::TooManyAlerts);
        }
    }
    // What comes out is walked without a meter later on.
    outputs.iter().try_for_each(|output| run.meter.weigh(output)).map_err(|stopped| told(stopped.into()))?;
    Ok(outputs)
}

fn told(ended: Ended<'_>) -> RunError {
    match ended {
        Ended::Raised(error) => {
            let text = error.as_str().map_or_else(|| error.to_string(), ToOwned::to_owned);
            RunError::Raised(text.chars().take(200).collect())
        }
        Ended::Stopped(Stopped::OutOfFuel) => RunError::TooMuchWork,
        Ended::Stopped(Stopped::TooDeep) => RunError::TooDeep,
        Ended::Stopped(Stopped::Cancelled) => RunError::TooSlow,
    }
}

fn read(code: &str) -> Result<Code, ProgramError> {
    let mut known = load::parse(PRELUDE, |parser| parser.defs()).unwrap_or_default();
    known.extend(load::parse(SHARED, |parser| parser.defs()).unwrap_or_default());
    let loader = Loader::new(known.clone());
    let arena = Arena::default();
    loader.load(&arena, File { code, path: () }).map_err(load_error)?;
    // A program that parses as a module but not as a term begins with import, include or module.
    let term = load::parse(code, |parser| parser.term()).ok_or_else(|| ProgramError {
        line: 1,
        problem: "import, include and module are not available".to_owned(),
    })?;
    subset::check(&known, &term).map_err(|refused| ProgramError {
        line: refused.near.map_or(1, |near| line_of(code, near)),
        problem: refused.what.to_owned(),
    })?;
    compile(&known, &term).map_err(|undefined| ProgramError {
        line: line_of(code, undefined.name),
        problem: format!("the {} {} is not available in formats", undefined.what, undefined.name),
    })
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

/// Returns the line, from 1, on which a piece of the program begins.
fn line_of(code: &str, piece: &str) -> usize {
    let start = piece.as_ptr().addr().saturating_sub(code.as_ptr().addr());
    let before = code.get(..start).unwrap_or_default();
    before.matches('\n').count().saturating_add(1)
}
