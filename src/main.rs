//! Parses arguments, runs the command, sets the exit code.

fn main() {}
