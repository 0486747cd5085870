//! `sign`: prints the headers that a sender must send with a payload.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::json;
use uuid::Uuid;

use crate::alert::SignedId;
use crate::clock::Clock;
use crate::config::read_secret_file;
use crate::ingest::{SigningKey, sign};

use super::exit::say;

/// The key to sign with.
#[derive(Debug, ClapArgs)]
pub(super) struct KeyFile {
    /// File with the source's secret, whsec_ and base64.
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
}

impl KeyFile {
    pub(super) fn read(&self) -> anyhow::Result<SigningKey> {
        let name = || self.secret_file.display().to_string();
        let secret = read_secret_file(&self.secret_file).with_context(name)?;
        SigningKey::from_whsec(&secret, None).with_context(name)
    }
}

/// The id to send a payload under.
#[derive(Debug, ClapArgs)]
pub(super) struct DeliveryId {
    /// Id of the delivery; a new one if left out. Sending again under the same id is recognised as the same
    /// delivery.
    #[arg(long)]
    pub(super) id: Option<SignedId>,
}

impl DeliveryId {
    pub(super) fn or_new(&self) -> anyhow::Result<SignedId> {
        match &self.id {
            Some(id) => Ok(id.clone()),
            None => Ok(format!("msg_{}", Uuid::new_v4().simple()).parse()?),
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// The payload; - for standard input.
    payload: PathBuf,
    #[command(flatten)]
    key: KeyFile,
    #[command(flatten)]
    id: DeliveryId,
    /// Print a curl line for this address instead of the headers.
    #[arg(long, value_name = "URL")]
    curl: Option<String>,
    /// Write the headers as JSON.
    #[arg(long, conflicts_with = "curl")]
    json: bool,
}

/// A payload with the headers that prove it.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) body: Vec<u8>,
    pub(super) headers: [(&'static str, String); 3],
}

/// Signs a payload now.
pub(super) fn headers(key: &SigningKey, id: &SignedId, body: Vec<u8>) -> Signed {
    let now = Clock::system().now();
    let signature = sign(key, id, now, &body);
    let headers = [
        ("webhook-id", id.to_string()),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signature),
    ];
    Signed { body, headers }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let body = read_payload(&arguments.payload)?;
    let signed = headers(&arguments.key.read()?, &arguments.id.or_new()?, body);
    if arguments.json {
        let headers: serde_json::Map<_, _> =
            signed.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        say(&json!(headers).to_string());
    } else if let Some(url) = &arguments.curl {
        let headers: Vec<String> =
            signed.headers.iter().map(|(name, value)| format!("-H '{name}: {value}'")).collect();
        let payload = arguments.payload.display().to_string();
        say(&format!(
            "curl -sS -X POST {} -H 'content-type: application/json' {} --data-binary @{}",
            quoted(url),
            headers.join(" "),
            quoted(&payload)
        ));
    } else {
        for (name, value) in &signed.headers {
            say(&format!("{name}: {value}"));
        }
    }
    Ok(())
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Reads a file, or standard input for `-`.
pub(super) fn read_payload(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut body = Vec::new();
        io::stdin().read_to_end(&mut body).context("standard input cannot be read")?;
        return Ok(body);
    }
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
