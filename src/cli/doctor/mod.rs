//! `doctor`: looks at each thing that an installation needs, and says what it found, why it matters and what to do next.
//!
//! Harmless: nothing is sent that changes anything, no lock is taken, and a file that is written to time the disk is gone
//! again. So it runs beside the service as well as without it.

mod files;
mod finding;
mod microsoft;
mod network;
mod store;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};
use tokio::runtime;

use crate::clock::Clock;
use crate::config::{self, Complaint, Config, Files, Loaded, Secrets};
use crate::store::Survey;

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say};

use finding::{Check, note, well, wrong};

pub(super) use finding::Finding;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Write the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// What was found, and what else was learned on the way.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    pub(super) config: Option<Config>,
    pub(super) survey: Option<Survey>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let findings = examine(&arguments.file)?.findings;
    let count = findings.iter().filter(|finding| finding.is_wrong()).count();
    if arguments.json {
        let all: Vec<Value> = findings.iter().map(Finding::json).collect();
        say(&json!({"well": count == 0, "findings": all}).to_string());
    } else {
        for finding in &findings {
            say(&finding.lines());
        }
    }
    if count == 0 {
        return Ok(());
    }
    let things = if count == 1 { "thing is" } else { "things are" };
    Err(Failure { code: FAILURE, text: format!("{count} {things} to be mended") }.into())
}

/// Looks at everything.
pub(super) fn examine(file: &ConfigFile) -> anyhow::Result<Examined> {
    let clock = Clock::system();
    let Loaded { config, files, .. } = config::load_with_files(&file.config, Secrets::Read);
    let mut findings = Vec::new();
    // Without its secrets a configuration still tells where all else is.
    let (config, has_secrets) = match config {
        Ok(config) => {
            findings.push(well(Check::Config, format!("{} has no mistakes", file.config.display())));
            findings
                .extend(config.warnings.0.iter().map(|it| note(Check::Config, told(it), it.remedy.clone())));
            (Some(config), true)
        }
        Err(complaints) => {
            findings.extend(complaints.0.iter().map(|it| wrong(Check::Config, told(it), it.remedy.clone())));
            (config::load(&file.config, Secrets::Skip).ok(), false)
        }
    };
    let survey = if let Some(config) = &config {
        look(config, has_secrets, (&files, &clock), &mut findings)?
    } else {
        findings.extend(files::look(&files, None));
        None
    };
    Ok(Examined { findings, config, survey })
}

fn look(
    config: &Config,
    has_secrets: bool,
    (files, clock): (&Files, &Clock),
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Option<Survey>> {
    findings.extend(files::look(files, Some(config)));
    findings.extend(store::disk(config, clock));
    let (standing, survey) = store::database(config, clock.now());
    findings.extend(standing);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.context("the runtime cannot be started")?.block_on(async {
        let mut asked = vec![network::service(config).await];
        asked.extend(network::look(config, clock).await);
        if has_secrets {
            asked.extend(microsoft::look(config, clock).await);
        } else {
            let next = "mend the configuration first";
            asked.push(note(Check::Token, "no token was asked for: the secret for it is not known", next));
        }
        asked
    });
    findings.extend(asked);
    Ok(survey)
}

fn told(complaint: &Complaint) -> String {
    let Complaint { file, line, key, problem, .. } = complaint;
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let key = if key.is_empty() { String::new() } else { format!(": {key}") };
    format!("{}{line}{key}: {problem}", file.display())
}
