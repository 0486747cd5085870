//! `link`: makes a one-time link by which an approver decides about a held action.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::alert::ActionId;

use super::ask::Ask;
use super::exit::{FAILURE, Failure, say, say_error};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a link and show it, once. Whoever has it can decide as the approver.
    Create {
        /// The action's id.
        action: ActionId,
        /// The name of the approver's token, which must be active and have the scope actions:approve.
        #[arg(long, value_name = "NAME")]
        approver: String,
        /// How many minutes it lives, if the hold does not end before.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
        minutes: u32,
        #[command(flatten)]
        ask: Ask,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let What::Create { action, approver, minutes, ask } = &arguments.what;
    let said = json!({"approver": approver, "minutes": minutes});
    let (status, body) = ask.post(&format!("/v1/actions/{action}/links"), &said)?;
    say_error(&format!("HTTP {status}"));
    say(&body);
    if status == 201 {
        return Ok(());
    }
    Err(Failure { code: FAILURE, text: "the bridge made no link".to_owned() }.into())
}
