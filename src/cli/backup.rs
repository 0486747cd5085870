//! `backup`: copies the database while the service runs.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::clock::Clock;
use crate::store::{Backup, BackupError, back_up};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, IO_ERROR, say};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// The file to write. Nothing may be there yet.
    #[arg(value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// Write the facts as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let made = back_up(&arguments.file.store()?, &arguments.to, Clock::system().now());
    let Backup { path, bytes, actions } =
        made.map_err(|error| Failure { code: code(&error), text: error.to_string() })?;
    if arguments.json {
        say(&json!({"path": path, "bytes": bytes, "actions": actions}).to_string());
    } else {
        say(&format!("{}: {bytes} bytes, {actions} actions, checked", path.display()));
    }
    Ok(())
}

/// What a disk has to do with is told from what was asked wrongly.
fn code(error: &BackupError) -> u8 {
    match error {
        BackupError::NotWritten { .. } | BackupError::Damaged(_) => IO_ERROR,
        BackupError::Store(error) if error.is_fatal() => IO_ERROR,
        BackupError::Exists(_) | BackupError::Store(_) => FAILURE,
    }
}
