//! Parses arguments, runs the command, sets the exit code.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    quarantine_bridge::cli::run(env::args_os())
}
