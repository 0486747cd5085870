//! The commands, one file each.

mod ask;
mod assemble;
mod audit;
mod audit_export;
mod backup;
mod blast_breaker;
mod callbacks;
mod certificate;
mod check;
mod completions;
mod demo;
mod doctor;
mod exit;
mod explain;
mod formats;
mod formats_test;
mod formats_try;
mod judge;
mod kill_switch;
mod link;
mod operator;
mod policy;
mod policy_test;
mod promote;
mod ready;
mod relay;
mod reload;
mod retry;
mod send;
mod serve;
mod sign;
mod simulate;
mod spool;
mod support;
mod token;
mod undo;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::{config, store};

use exit::say_error;

pub use assemble::{Live, Service, assemble};

/// Turns a signed alert into Microsoft Defender stopping and quarantining one file on one device, exactly
/// once.
#[derive(Debug, Parser)]
#[command(name = "quarantine-bridge", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::Arguments),
    /// Show the whole way of an alert against a built-in simulator; needs nothing.
    Demo(demo::Arguments),
    /// Check a configuration: every error with file, line, key and remedy.
    Check(check::Arguments),
    /// Look at each thing that an installation needs, and say what to mend; changes nothing.
    Doctor(doctor::Arguments),
    /// Show what an alert would do, step by step, without doing it.
    Explain(explain::Arguments),
    /// Sign a payload: print the headers, or a ready curl line.
    Sign(sign::Arguments),
    /// Sign a payload and post it.
    Send(send::Arguments),
    /// Sign for tools of this machine that cannot: keep what they send on disk until the bridge has it.
    Relay(relay::Arguments),
    /// Look into the folder in which relay and send keep deliveries.
    Spool(spool::Arguments),
    /// Run a local Defender and Entra ID to rehearse against.
    Simulate(simulate::Arguments),
    /// List, print, test and try formats.
    Formats(formats::Arguments),
    /// Ask a running bridge whether it takes deliveries.
    Ready(ready::Arguments),
    /// Copy the database while the service runs.
    Backup(backup::Arguments),
    /// Test your guards with golden cases.
    Policy(policy::Arguments),
    /// Show what a source in shadow mode would have done, to decide whether it may do more.
    Promote(promote::Arguments),
    /// Verify, sign and hand out the audit.
    Audit(audit::Arguments),
    /// Stop every new call to Defender, or let calls go out again.
    KillSwitch(kill_switch::Arguments),
    /// Show how the breaker on blast radius stands, or close it.
    BlastBreaker(blast_breaker::Arguments),
    /// Approve what holds an action, with a token of your own.
    Approve(judge::Approve),
    /// Deny a held action, with a token of your own.
    Deny(judge::Deny),
    /// Have an action tried again that has come to nothing, with a token of your own.
    Retry(retry::Arguments),
    /// Make one-time links by which approvers decide about held actions.
    Link(link::Arguments),
    /// Show how a quarantine is undone, and mark it as undone; runs nothing.
    Undo(undo::Undo),
    /// List the marks of what was undone, or take one away.
    UndoMarks(undo::Marks),
    /// Show who is told what became of actions, and have messages sent again.
    Callbacks(callbacks::Arguments),
    /// Write one file for whoever helps to find a fault, without secrets, devices, files and names.
    Support(support::Arguments),
    /// Make tokens for the API, list them, and take them away.
    Token(token::Arguments),
    /// Print what a shell needs to complete the commands: put it where the shell looks.
    Completions(completions::Completions),
    /// Write a man page for each command.
    Man(completions::Man),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "quarantine-bridge.toml")]
    config: PathBuf,
}

impl ConfigFile {
    /// Finds the store, whatever else is wrong with the configuration: that is told, and is not what the command is about.
    fn store(&self) -> anyhow::Result<store::Options> {
        let (store, complaints) = config::load_store(&self.config)?;
        for complaint in &complaints.0 {
            say_error(&format!("warning: {complaint}"));
        }
        Ok(store)
    }
}

/// Runs the command that the arguments name; returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Writes help to standard output and errors to standard error.
            drop(error.print());
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Relay(arguments) => relay::run(&arguments),
        Command::Spool(arguments) => spool::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Formats(arguments) => formats::run(&arguments),
        Command::Ready(arguments) => ready::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        Command::Promote(arguments) => promote::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::KillSwitch(arguments) => kill_switch::run(&arguments),
        Command::BlastBreaker(arguments) => blast_breaker::run(&arguments),
        Command::Approve(arguments) => judge::approve(&arguments),
        Command::Deny(arguments) => judge::deny(&arguments),
        Command::Retry(arguments) => retry::run(&arguments),
        Command::Link(arguments) => link::run(&arguments),
        Command::Undo(arguments) => undo::undo(&arguments),
        Command::UndoMarks(arguments) => undo::marks(&arguments),
        Command::Callbacks(arguments) => callbacks::run(&arguments),
        Command::Support(arguments) => support::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Completions(arguments) => {
            completions::completions(&arguments, Cli::command());
            Ok(())
        }
        Command::Man(arguments) => completions::man(&arguments, Cli::command()),
    };
    exit::code(result)
}
