//! `formats try NAME|FILE.jq`: what a format answers for the payload on standard input.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::mapping::{Cancel, Mapped, answers, golden, map, on_mapping_thread};

use super::exit::{FAILURE, Failure, say};
use super::formats::{Reading, load};
use super::sign::read_payload;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// A built-in format, or a jq program of your own: a file whose name ends in .jq.
    format: OsString,
    #[command(flatten)]
    reading: Reading,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let format = arguments.reading.apply(load(&arguments.format)?);
    let payload = read_payload(Path::new("-"))?;
    let both = on_mapping_thread(|| {
        let cancel = Cancel::default();
        (answers(&format, &payload, &cancel), map(&format, &payload, &cancel))
    });
    let (answers, mapped) = both.context("the thread for payloads cannot be started")?;
    let mapped: Mapped = mapped.unwrap_or_else(Into::into);
    let answers: Vec<Value> =
        answers.iter().flatten().map(|answer| serde_json::from_str(answer).unwrap_or_default()).collect();
    if arguments.json {
        say(&json!({"answers": answers, "result": golden(&mapped)}).to_string());
    } else {
        for answer in &answers {
            say(&format!("the format answers\n{answer:#}"));
        }
        say(&format!("which becomes\n{:#}", golden(&mapped)));
    }
    if mapped.alerts.is_empty() {
        let text = "nothing in it can become an action".to_owned();
        return Err(Failure { code: FAILURE, text }.into());
    }
    Ok(())
}
