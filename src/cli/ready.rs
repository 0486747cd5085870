//! `ready`: asks a running bridge whether it takes deliveries, for containers that have no other program.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use tokio::runtime;
use url::Url;

use crate::outgoing::Outgoing;

use super::exit::{Failure, UNAVAILABLE, say};

/// How long the answer may take. It waits for no disk and for nobody else.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// Where the bridge is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8420")]
    url: Url,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let url = arguments.url.join("/readyz")?;
    let client = Outgoing { total_timeout: PATIENCE, ..Outgoing::new(&url) }.client()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime
        .context("the runtime cannot be started")?
        .block_on(async { client.get(url.clone()).send().await });
    let unavailable = |text| Failure { code: UNAVAILABLE, text };
    let answer = answer.map_err(|error| unavailable(format!("{url} did not answer: {error:#}")))?;
    if !answer.status().is_success() {
        return Err(unavailable(format!("{url} answered {}: it takes no deliveries", answer.status())).into());
    }
    say("ready");
    Ok(())
}
