//! `check`: validates a configuration.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::alert::SourceName;
use crate::config::{self, Complaint, Complaints, Config, Secrets};
use crate::policy::Policy;

use crate::store::check_database;

use super::ConfigFile;
use super::exit::{say, say_error};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Write the complaints as JSON.
    #[arg(long)]
    json: bool,
    /// Also read the whole database and tell whether it is damaged. A service may be using it.
    #[arg(long)]
    database: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let loaded = config::load(&arguments.file.config, Secrets::Read);
    if arguments.json {
        let complaints = loaded.as_ref().err().map(as_json).unwrap_or_default();
        let warnings = loaded.as_ref().ok().map(|config| as_json(&config.warnings)).unwrap_or_default();
        let sources: Vec<Value> = loaded.as_ref().map(sources).unwrap_or_default();
        let identity = loaded.as_ref().ok().map(|config| config.defender.identity.to_string());
        let all = json!({"valid": loaded.is_ok(), "complaints": complaints, "warnings": warnings, "sources": sources,
                         "identity": identity});
        say(&all.to_string());
    }
    let config = loaded?;
    if !arguments.json {
        for warning in &config.warnings.0 {
            say_error(&format!("warning: {warning}"));
        }
        say(&format!("{}: no complaints", arguments.file.config.display()));
        say(&format!("tokens: {}", config.defender.identity));
        for source in &config.http.sources {
            let policy = config.dispatch.policies.get(&source.name);
            let mode = policy.map_or_else(String::new, Policy::told_mode);
            say(&format!("source {}: format {}, {mode}", source.name, source.format.name()));
        }
    }
    if arguments.database {
        check_database(&config.store)?;
        say_error(&format!("{}: no damage", config.store.path.display()));
    }
    Ok(())
}

/// Each source with how far it may go, by its own section and after `mode_max` of `[policy]`.
fn sources(config: &Config) -> Vec<Value> {
    let one = |(name, policy): (&SourceName, &Policy)| {
        json!({"source": name.as_str(), "mode": policy.mode().as_str(), "source_mode": policy.source_mode.as_str(),
               "mode_max": policy.mode_max.as_str()})
    };
    let mut all: Vec<_> = config.dispatch.policies.iter().collect();
    all.sort_by_key(|(name, _)| name.as_str());
    all.into_iter().map(one).collect()
}

fn as_json(complaints: &Complaints) -> Vec<Value> {
    let one = |it: &Complaint| json!({"file": it.file, "line": it.line, "key": it.key, "problem": it.problem, "remedy": it.remedy});
    complaints.0.iter().map(one).collect()
}
