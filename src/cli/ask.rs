//! Asks the API of a running bridge as whoever holds a token.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use reqwest::{Client, RequestBuilder};
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
    pub(super) token_file: PathBuf,
    /// Where the bridge is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8420")]
    pub(super) url: Url,
}

impl Ask {
    /// Posts to a path; returns status and body of the answer.
    pub(super) fn post(&self, path: &str, said: &Value) -> anyhow::Result<(u16, String)> {
        let (client, url) = self.reach(path)?;
        self.send(client.post(url).header("content-type", "application/json").body(said.to_string()))
    }

    /// Gets what is at a path; returns status and body of the answer.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let (client, url) = self.reach(path)?;
        self.send(client.get(url))
    }

    fn reach(&self, path: &str) -> anyhow::Result<(Client, Url)> {
        let url = self.url.join(path)?;
        Ok((Outgoing::new(&url).client()?, url))
    }

    fn send(&self, request: RequestBuilder) -> anyhow::Result<(u16, String)> {
        let name = || self.token_file.display().to_string();
        let token = read_secret_file(&self.token_file).with_context(name)?;
        let request = request.bearer_auth(token.expose_secret());
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.context("the runtime cannot be started")?.block_on(async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status().as_u16(), response.text().await?))
        });
        let unavailable =
            |error| Failure { code: UNAVAILABLE, text: format!("{} did not answer: {error:#}", self.url) };
        Ok(answer.map_err(unavailable)?)
    }
}
