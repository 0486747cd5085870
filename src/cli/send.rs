//! `send`: signs a payload and posts it; with a spool, what cannot be delivered is kept and sent later.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args as ClapArgs;
use jiff::SignedDuration;
use reqwest::Client;
use tokio::runtime;
use url::Url;

use crate::clock::Clock;
use crate::outgoing::Outgoing;
use crate::relay::{Courier, Tried, Verdict};
use crate::spool::{Intake, Spool, SpoolError};

use super::exit::{Failure, UNAVAILABLE, say, say_error};
use super::relay::Bounds;
use super::sign::{DeliveryId, KeyFile, Signed, headers, read_payload};

/// How many failures in a row end a flush: the bridge is away, and more would only take time.
const FAILURES_MAX: u32 = 3;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// The payload; - for standard input.
    #[arg(required_unless_present = "flush")]
    payload: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    #[command(flatten)]
    id: DeliveryId,
    /// Address of the source.
    #[arg(
        long,
        value_name = "URL",
        help = "Address of the source, such as http://127.0.0.1:8420/v1/hooks/soc"
    )]
    url: Url,
    /// Keep the payload in this folder until the bridge has it, and send what the folder keeps.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Send what the spool keeps, and nothing new.
    #[arg(long, requires = "spool", conflicts_with_all = ["payload", "id"])]
    flush: bool,
    #[command(flatten)]
    bounds: Bounds,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let body = arguments.payload.as_deref().map(read_payload).transpose()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(async {
        match (&arguments.spool, body) {
            (Some(folder), body) => send_by_spool(arguments, folder, body).await,
            (None, body) => send(arguments, body.unwrap_or_default()).await,
        }
    })
}

async fn send(arguments: &Arguments, body: Vec<u8>) -> anyhow::Result<()> {
    let signed = headers(&arguments.key.read()?, &arguments.id.or_new()?, body);
    let url = &arguments.url;
    let answer = post(&Outgoing::new(url).client()?, url, signed).await;
    let answer = answer
        .map_err(|error| Failure { code: UNAVAILABLE, text: format!("{url} did not answer: {error:#}") })?;
    say_error(&format!("HTTP {}", answer.status));
    say(&answer.body);
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    Err(Failure { code: UNAVAILABLE, text: "the bridge did not take it".to_owned() }.into())
}

/// Keeps the payload, if there is one, and then sends it and what was kept before.
async fn send_by_spool(arguments: &Arguments, folder: &Path, body: Option<Vec<u8>>) -> anyhow::Result<()> {
    let way = arguments.bounds.way(&arguments.url, &arguments.key)?;
    let spool = Spool::open(folder, arguments.url.as_str()).map_err(Failure::from)?;
    let courier = arguments.bounds.courier(spool.clone(), &arguments.url, way);
    let Some(body) = body else {
        return flush(&courier).await;
    };
    let mut intake = Intake::new(spool, arguments.bounds.limits());
    match intake.put(arguments.id.id.clone(), Bytes::from(body.clone()), Clock::system().now()) {
        Ok(delivery) => {
            let tried = courier.deliver(delivery.id, 0, SignedDuration::ZERO).await;
            let is_bridge_there = matches!(tried, Tried::Taken | Tried::Gone | Tried::Rejected { .. });
            let told = tell(tried);
            if is_bridge_there {
                send_older(&courier).await;
            }
            told
        }
        Err(error) => {
            say_error(&format!("{error}; the payload is sent without being kept"));
            send(arguments, body).await
        }
    }
}

/// Says what became of the payload. What is kept counts as sent: it will be.
fn tell(tried: Tried) -> anyhow::Result<()> {
    match tried {
        Tried::Taken | Tried::Gone => {
            say_error("the bridge has taken it");
            Ok(())
        }
        Tried::Kept { verdict, answer } => {
            say_error(&format!("kept in the spool: {}", verdict.reason()));
            show(answer.as_deref());
            Ok(())
        }
        Tried::Dead { verdict } => {
            let text = format!("given up ({}): it is set aside in the spool, in dead", verdict.reason());
            Err(Failure { code: UNAVAILABLE, text }.into())
        }
        Tried::Rejected { reason, answer } => {
            show(answer.as_deref());
            let text =
                format!("the bridge did not take it ({reason}): it is set aside in the spool, in rejected");
            Err(Failure { code: UNAVAILABLE, text }.into())
        }
    }
}

fn show(answer: Option<&str>) {
    if let Some(answer) = answer {
        say(answer);
    }
}

/// Sends what was kept before. That the payload is safe is what counts, so a failure here is only told.
async fn send_older(courier: &Courier) {
    match flush(courier).await {
        Ok(()) => {}
        Err(error) => say_error(&format!("{error:#}")),
    }
}

/// Sends what waits, the oldest first.
async fn flush(courier: &Courier) -> anyhow::Result<()> {
    let _lock = match courier.spool.lock() {
        Ok(lock) => lock,
        Err(SpoolError::InUse(_)) => {
            say_error("another process sends what the spool keeps");
            return Ok(());
        }
        Err(error) => return Err(Failure::from(error).into()),
    };
    let waiting = courier.spool.waiting(Clock::system().now()).map_err(Failure::from)?;
    let (mut taken, mut failures) = (0_u32, 0_u32);
    for id in waiting {
        match courier.deliver(id, courier.spool.tries(id), SignedDuration::MAX).await {
            Tried::Taken => (taken, failures) = (taken.saturating_add(1), 0),
            Tried::Gone | Tried::Rejected { .. } => failures = 0,
            Tried::Kept { verdict, .. } | Tried::Dead { verdict } => {
                say_error(&format!("{id}: {}", verdict.reason()));
                failures = failures.saturating_add(1);
                if failures >= FAILURES_MAX || matches!(verdict, Verdict::Away { .. }) {
                    break;
                }
            }
        }
    }
    let left = courier.spool.waiting(Clock::system().now()).map_err(Failure::from)?.len();
    say_error(&format!("{taken} sent, {left} still kept"));
    if left == 0 {
        return Ok(());
    }
    Err(Failure { code: UNAVAILABLE, text: "the bridge has not taken all that the spool keeps".to_owned() }
        .into())
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
