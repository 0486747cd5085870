//! `retry`: has an action tried again that has come to nothing, by the API and with a token of one's own.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::alert::ActionId;

use super::ask::Ask;
use super::exit::{FAILURE, Failure, say, say_error};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// The action's id.
    action: ActionId,
    /// Why, in one line.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    ask: Ask,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = format!("/v1/actions/{}/retry", arguments.action);
    let (status, body) = arguments.ask.post(&path, &json!({"reason": arguments.reason}))?;
    say_error(&format!("HTTP {status}"));
    say(&body);
    match status {
        202 => Ok(()),
        200 => {
            say_error("it was tried again before, by this action");
            Ok(())
        }
        _ => Err(Failure { code: FAILURE, text: "the bridge did not take it".to_owned() }.into()),
    }
}
