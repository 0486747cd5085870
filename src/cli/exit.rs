//! Exit codes, and the only places where commands write.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::Complaints;
use crate::store::StoreError;

/// Something failed.
pub(super) const FAILURE: u8 = 1;

/// The arguments are wrong.
pub(super) const USAGE: u8 = 2;

/// The other side is not there or refuses (`EX_UNAVAILABLE`).
pub(super) const UNAVAILABLE: u8 = 69;

/// The disk failed (`EX_IOERR`).
pub(super) const IO_ERROR: u8 = 74;

/// The configuration is wrong (`EX_CONFIG`).
pub(super) const CONFIG: u8 = 78;

/// A failure with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) text: String,
}

/// Says what failed on standard error; returns the exit code.
pub(super) fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    say_error(&format!("{error:#}"));
    ExitCode::from(code_of(&error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(Failure { code, .. }) = error.downcast_ref() {
        return *code;
    }
    match error.downcast_ref() {
        Some(StoreError::Misplaced { .. }) => CONFIG,
        Some(error) if error.is_fatal() => IO_ERROR,
        _ if error.is::<Complaints>() => CONFIG,
        _ => FAILURE,
    }
}

/// Writes a line of result to standard output. A reader who has left is no failure.
pub(super) fn say(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Writes a line for the person at the terminal to standard error.
pub(super) fn say_error(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
