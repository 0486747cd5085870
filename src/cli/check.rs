//! `check`: validates a configuration.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::config::{self, Secrets};

use super::ConfigFile;
use super::exit::say;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Write the complaints as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let loaded = config::load(&arguments.file.config, Secrets::Read);
    if arguments.json {
        let complaints = loaded.as_ref().err().map(|complaints| complaints.0.as_slice());
        let complaints: Vec<_> = complaints
            .unwrap_or_default()
            .iter()
            .map(|it| {
                json!({"file": it.file, "line": it.line, "key": it.key, "problem": it.problem, "remedy": it.remedy})
            })
            .collect();
        say(&json!({"valid": loaded.is_ok(), "complaints": complaints}).to_string());
    }
    let config = loaded?;
    if !arguments.json {
        say(&format!("{}: no complaints", arguments.file.config.display()));
        for source in &config.http.sources {
            let policy = config.dispatch.policies.get(&source.name);
            let mode = policy.map_or("", |policy| policy.mode.as_str());
            say(&format!("source {}: format {}, mode {mode}", source.name, source.format.name()));
        }
    }
    Ok(())
}
