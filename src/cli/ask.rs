//! Asks the API of a running bridge as whoever holds a token.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::runtime;
use url::Url;

use crate::config::read_secret_file;
use crate::outgoing::Outgoing;

use super::exit::{Failure, UNAVAILABLE};

/// Where the bridge is, and as whom it is asked.
#[derive(Debug, ClapArgs)]
pub(super) struct Ask {
    /// File with an API token that has the scope for this.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Where the bridge is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8420")]
    url: Url,
}

impl Ask {
    /// Posts to a path; returns status and body of the answer.
    pub(super) fn post(&self, path: &str, said: &Value) -> anyhow::Result<(u16, String)> {
        let name = || self.token_file.display().to_string();
        let token = read_secret_file(&self.token_file).with_context(name)?;
        let url = self.url.join(path)?;
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
        let unavailable =
            |error| Failure { code: UNAVAILABLE, text: format!("{url} did not answer: {error:#}") };
        Ok(answer.map_err(unavailable)?)
    }
}
