//! `kill-switch`: turns it, beside a running service or without one.

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::clock::Clock;
use crate::store::{
    KillSwitch, TurnOff, TurnOn, TurnedOff, kill_switch_beside, turn_off_beside, turn_on_beside,
};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say};
use super::operator::{operator, why};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Stop every new call to Defender.
    On {
        #[command(flatten)]
        file: ConfigFile,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Have our own machine actions cancelled that are not over.
        #[arg(long)]
        cancel_pending: bool,
    },
    /// Let calls go out again.
    Off {
        #[command(flatten)]
        file: ConfigFile,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Show how it stands.
    Status {
        #[command(flatten)]
        file: ConfigFile,
        /// Write it as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let now = Clock::system().now();
    match &arguments.what {
        What::On { file, reason, cancel_pending } => turn_on(file, reason, *cancel_pending, now),
        What::Off { file, reason } => turn_off(file, reason, now),
        What::Status { file, json } => show(file, *json),
    }
}

fn turn_on(file: &ConfigFile, reason: &str, cancels: bool, now: Timestamp) -> anyhow::Result<()> {
    let store = file.store()?;
    let on = TurnOn { who: operator(), reason: why(reason)?, cancels, now };
    let begun = turn_on_beside(&store, &on)?;
    say(&format!("the kill switch is on; {begun} cancellations begun"));
    Ok(())
}

fn turn_off(file: &ConfigFile, reason: &str, now: Timestamp) -> anyhow::Result<()> {
    let store = file.store()?;
    let off = TurnOff { who: operator(), reason: why(reason)?, now };
    match turn_off_beside(&store, &off)? {
        TurnedOff::Off | TurnedOff::AlreadyOff => say("the kill switch is off"),
        TurnedOff::Signalled => {
            let text = "the kill switch stays on: the signal file is there, or it is not known whether it is; \
                        remove it while the service runs, then try again";
            return Err(Failure { code: FAILURE, text: text.to_owned() }.into());
        }
    }
    Ok(())
}

fn show(file: &ConfigFile, as_json: bool) -> anyhow::Result<()> {
    let store = file.store()?;
    let KillSwitch { is_on, is_signalled, last } = kill_switch_beside(&store)?;
    let (at, who, reason) = match &last {
        Some(turn) => (Some(turn.at.to_string()), Some(turn.who.to_string()), Some(&turn.reason)),
        None => (None, None, None),
    };
    if as_json {
        let facts =
            json!({"is_on": is_on, "signal_file": is_signalled, "since": at, "by": who, "reason": reason});
        say(&facts.to_string());
    } else {
        let word = if is_on { "on" } else { "off" };
        let turned = last.map(|turn| format!(" since {}, by {}: {}", turn.at, turn.who, turn.reason));
        say(&format!("the kill switch is {word}{}", turned.unwrap_or_default()));
    }
    Ok(())
}
