//! `approve` and `deny`: a person decides about a held action, by the API and with a token of their own.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::runtime;
use url::Url;

use crate::alert::ActionId;
use crate::config::read_secret_file;
use crate::outgoing::Outgoing;

use super::exit::{FAILURE, Failure, UNAVAILABLE, say, say_error};

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
    /// File with an API token of scope actions:approve; its name is who decides.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Where the bridge is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8420")]
    url: Url,
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
        let name = || self.token_file.display().to_string();
        let token = read_secret_file(&self.token_file).with_context(name)?;
        let url = self.url.join(&format!("/v1/actions/{}/{word}", self.action))?;
        let request = Outgoing::new(&url)
            .client()?
            .post(url.clone())
            .bearer_auth(token.expose_secret())
            .header("content-type", "application/json")
            .body(said.to_string());
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.context("the runtime cannot be started")?.block_on(async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status().as_u16(), response.text().await?))
        });
        let (status, body) = answer.map_err(|error| Failure {
            code: UNAVAILABLE,
            text: format!("{url} did not answer: {error:#}"),
        })?;
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
