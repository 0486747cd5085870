//! `approve` and `deny`: a person decides about a held action, by the API and with a token of their own.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::alert::ActionId;

use super::ask::Ask;
use super::exit::{FAILURE, Failure, say, say_error};

#[derive(Debug, ClapArgs)]
pub(super) struct Approve {
    #[command(flatten)]
    call: Call,
    /// A guard whose hold is approved, as the action's `holds` name it; may be given more than once.
    #[arg(long = "hold", value_name = "GUARD", required = true)]
    holds: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Deny {
    #[command(flatten)]
    call: Call,
}

/// Of which action, why, where and as whom.
#[derive(Debug, ClapArgs)]
struct Call {
    /// The action's id.
    action: ActionId,
    /// Why, in one line.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    ask: Ask,
}

pub(super) fn approve(arguments: &Approve) -> anyhow::Result<()> {
    let said = json!({"holds": arguments.holds, "reason": arguments.call.reason});
    arguments.call.make("approve", &said)
}

pub(super) fn deny(arguments: &Deny) -> anyhow::Result<()> {
    arguments.call.make("deny", &json!({"reason": arguments.call.reason}))
}

impl Call {
    fn make(&self, word: &str, said: &Value) -> anyhow::Result<()> {
        let (status, body) = self.ask.post(&format!("/v1/actions/{}/{word}", self.action), said)?;
        say_error(&format!("HTTP {status}"));
        say(&body);
        match status {
            200 => Ok(()),
            202 => {
                say_error("it is kept; another person must approve too");
                Ok(())
            }
            _ => Err(Failure { code: FAILURE, text: "the bridge did not take it".to_owned() }.into()),
        }
    }
}
