//! `send`: signs a payload and posts it.

use anyhow::Context as _;
use clap::Args as ClapArgs;
use reqwest::Client;
use tokio::runtime;
use url::Url;

use crate::defender::http_client;

use super::exit::{Failure, UNAVAILABLE, say, say_error};
use super::sign::{Signed, ToSign};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(flatten)]
    to_sign: ToSign,
    /// Address of the source.
    #[arg(
        long,
        value_name = "URL",
        help = "Address of the source, such as http://127.0.0.1:8420/v1/hooks/soc"
    )]
    url: Url,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let signed = arguments.to_sign.sign()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(send(&arguments.url, signed))
}

async fn send(url: &Url, signed: Signed) -> anyhow::Result<()> {
    let answer = post(&http_client(url)?, url, signed).await;
    let answer = answer
        .map_err(|error| Failure { code: UNAVAILABLE, text: format!("{url} did not answer: {error:#}") })?;
    say_error(&format!("HTTP {}", answer.status));
    say(&answer.body);
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    Err(Failure { code: UNAVAILABLE, text: "the bridge did not take it".to_owned() }.into())
}

/// What a bridge answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Posts a signed payload.
pub(super) async fn post(http: &Client, url: &Url, signed: Signed) -> anyhow::Result<Answer> {
    let mut request = http.post(url.clone()).header("content-type", "application/json");
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let response = request.body(signed.body).send().await?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.text().await? })
}
