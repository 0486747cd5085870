//! `support dump`: one file for whoever helps from outside, without what is nobody else's business.
//!
//! What is in it was chosen piece by piece: words and numbers of ours. Texts of the configuration are replaced by keyed digests, so that
//! equal ones can be told, and none can be guessed. Of alerts, devices, files and persons there is nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config;
use crate::store::{FailedCall, Survey, Troubles, troubles};

use super::ConfigFile;
use super::ask::Ask;
use super::doctor::{self, Examined, Finding};
use super::exit::{FAILURE, Failure, say};

/// Labels of metrics that may name a person or a program: ids of callers, addresses of issuers.
const PRIVATE_LABELS: [&str; 2] = ["key_id", "issuer"];

/// How many hexadecimal digits stand for a hidden text.
const DIGEST_CHARS: usize = 12;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write what helps to find a fault to one file: version, configuration without texts, findings of the doctor, counts, last failures.
    Dump {
        #[command(flatten)]
        file: ConfigFile,
        /// The file to write; it must not be there yet.
        #[arg(long, value_name = "FILE", default_value = "quarantine-bridge-support.json")]
        output: PathBuf,
        /// File with an API token of scope metrics: asks the running service for its metrics too.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Where the bridge is.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8420")]
        url: Url,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let What::Dump { file, output, token_file, url } = &arguments.what;
    let hidden = Hidden::new();
    let Examined { findings, config, survey } = doctor::examine(file)?;
    let ask = token_file.clone().map(|token_file| Ask { token_file, url: url.clone() });
    let metrics = ask.as_ref().map(metrics).transpose()?;
    let troubles = config.as_ref().and_then(|config| troubles(&config.store).ok());
    let dump = json!({
        "what": "a support dump of quarantine-bridge", "form": 1,
        "made_at": Clock::system().now().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "config": config::redacted(&file.config, &|text| hidden.hide(text)),
        "findings": findings.iter().map(Finding::impersonal).collect::<Vec<_>>(),
        "standing": survey.as_ref().map(standing),
        "troubles": troubles.as_ref().map(|troubles| told(troubles, &hidden)),
        "metrics": metrics.map(|text| without_names(&text, &hidden)),
    });
    write(output, &dump)?;
    say(&format!("{} is written; look through it before you give it away", output.display()));
    Ok(())
}

/// Hides texts behind digests with a key that is kept nowhere.
struct Hidden([u8; 32]);

impl Hidden {
    fn new() -> Self {
        let mut key = [0; 32];
        let (first, second) = key.split_at_mut(16);
        first.copy_from_slice(Uuid::new_v4().as_bytes());
        second.copy_from_slice(Uuid::new_v4().as_bytes());
        Self(key)
    }

    fn hide(&self, text: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return "hidden".to_owned();
        };
        mac.update(text.as_bytes());
        let digest: String = hex::encode(mac.finalize().into_bytes()).chars().take(DIGEST_CHARS).collect();
        format!("hidden:{digest}")
    }
}

fn metrics(ask: &Ask) -> anyhow::Result<String> {
    let (status, text) = ask.get("/metrics")?;
    if status == 200 {
        return Ok(text);
    }
    let text =
        format!("the service does not give its metrics (HTTP {status}): the token needs the scope metrics");
    Err(Failure { code: FAILURE, text }.into())
}

fn standing(survey: &Survey) -> Value {
    let calls: Vec<Value> =
        survey.calls.iter().map(|(api, count)| json!({"api": api.as_str(), "last_hour": count})).collect();
    json!({
        "actions": survey.states, "calls": calls, "kill_switch": survey.kill_switch.is_on,
        "blast_breaker_open": survey.blast_breaker.is_open,
        "uncertain_since": survey.uncertain_since.map(|at| at.to_string()),
    })
}

fn told(troubles: &Troubles, hidden: &Hidden) -> Value {
    let is_word =
        |text: &str| text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let code = |code: &String| if is_word(code) { code.clone() } else { hidden.hide(code) };
    let call = |call: &FailedCall| {
        json!({"at": call.at.to_string(), "outcome": call.outcome, "http_status": call.http_status,
               "code": call.code.as_ref().map(code)})
    };
    json!({
        "failed_calls": troubles.calls.iter().map(call).collect::<Vec<_>>(), "held": troubles.held,
        "schema": troubles.schema, "schema_sha256": troubles.schema_sha256, "tables": troubles.tables,
    })
}

/// Hides the values of labels that may name somebody.
fn without_names(metrics: &str, hidden: &Hidden) -> String {
    PRIVATE_LABELS.iter().fold(metrics.to_owned(), |text, label| {
        let begin = format!("{label}=\"");
        let mut parts = text.split(begin.as_str());
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (value, rest) = part.split_once('"').unwrap_or((part, ""));
            shown = format!("{shown}{begin}{}\"{rest}", hidden.hide(value));
        }
        shown
    })
}

/// Writes the file for its owner alone.
fn write(path: &Path, dump: &Value) -> anyhow::Result<()> {
    let told = || format!("{} cannot be written; name another file with --output", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(told)?;
    file.write_all(serde_json::to_string_pretty(dump)?.as_bytes()).with_context(told)?;
    file.write_all(b"\n").with_context(told)
}
