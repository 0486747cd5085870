//! `blast-breaker`: shows how the breaker on blast radius stands, or closes it, beside a running service or without one.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::clock::Clock;
use crate::store::{BlastBreaker, CloseBlastBreaker, blast_breaker_beside, close_blast_breaker_beside};

use super::ConfigFile;
use super::exit::say;
use super::operator::{operator, why};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let actions go out again without a person's approval.
    Close {
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
    match &arguments.what {
        What::Close { file, reason } => close(file, reason),
        What::Status { file, json } => show(file, *json),
    }
}

fn close(file: &ConfigFile, reason: &str) -> anyhow::Result<()> {
    let store = file.store()?;
    let close = CloseBlastBreaker { who: operator(), reason: why(reason)?, now: Clock::system().now() };
    let was_open = close_blast_breaker_beside(&store, &close)?;
    let before = if was_open { "" } else { "; it was before" };
    say(&format!("the breaker on blast radius is closed{before}"));
    Ok(())
}

fn show(file: &ConfigFile, as_json: bool) -> anyhow::Result<()> {
    let store = file.store()?;
    let BlastBreaker { is_open, last } = blast_breaker_beside(&store)?;
    if as_json {
        let at = last.as_ref().map(|turn| turn.at.to_string());
        let who = last.as_ref().map(|turn| turn.who.to_string());
        let reason = last.as_ref().map(|turn| &turn.reason);
        say(&json!({"is_open": is_open, "since": at, "by": who, "reason": reason}).to_string());
    } else {
        let word = if is_open { "open: every action needs a person's approval" } else { "closed" };
        let turned = last.map(|turn| format!("; since {}, by {}: {}", turn.at, turn.who, turn.reason));
        say(&format!("the breaker on blast radius is {word}{}", turned.unwrap_or_default()));
    }
    Ok(())
}
