//! `undo`: shows how a quarantine is undone, marks it as undone, lists marks and takes them away. It runs nothing.

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::alert::{ActionId, MachineId, Sha1, Target, after, days};
use crate::clock::Clock;
use crate::config::{self, Config, Secrets};
use crate::store::{
    MarkUndone, MarkedUndone, RemoveMark, UndoMark, action_beside, mark_undone_beside, remove_mark_beside,
    undo_marks_beside,
};
use crate::undo::{Recipe, recipe};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say, say_error};
use super::operator::{operator, why};

/// How many marks are read at once.
const PAGE: u32 = 1_000;

#[derive(Debug, ClapArgs)]
pub(super) struct Undo {
    #[command(flatten)]
    file: ConfigFile,
    /// The action's id.
    action: ActionId,
    /// Mark it as undone: the same file is not quarantined again on the same device.
    #[arg(long, requires = "reason")]
    mark: bool,
    /// Why, in one line.
    #[arg(long, requires = "mark")]
    reason: Option<String>,
    /// For how many days.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Write the steps as JSON.
    #[arg(long, conflicts_with = "mark")]
    json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Marks {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the marks that are in force, one a line.
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Write each as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a mark away: the file may be quarantined on the device again.
    Remove {
        #[command(flatten)]
        file: ConfigFile,
        /// The device's machine id.
        #[arg(long)]
        machine_id: MachineId,
        /// The file's SHA1.
        #[arg(long)]
        sha1: Sha1,
        /// Why, in one line.
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn undo(arguments: &Undo) -> anyhow::Result<()> {
    let config = config::load(&arguments.file.config, Secrets::Skip)?;
    match &arguments.reason {
        Some(reason) => mark(&config, arguments, why(reason)?),
        None => show(&config, arguments),
    }
}

pub(super) fn marks(arguments: &Marks) -> anyhow::Result<()> {
    let now = Clock::system().now();
    match &arguments.what {
        What::List { file, json } => list(file, *json, now),
        What::Remove { file, machine_id, sha1, reason } => {
            let target = Target { machine_id: *machine_id, sha1: *sha1 };
            remove(file, target, reason, now)
        }
    }
}

fn show(config: &Config, arguments: &Undo) -> anyhow::Result<()> {
    let record = action_beside(&config.store, arguments.action)?.ok_or_else(|| missing(arguments.action))?;
    let recipe = recipe(&record.action, record.superseded_by.as_ref(), config.http.portal);
    if arguments.json {
        say(&serde_json::to_string(&recipe)?);
    } else {
        tell(&recipe);
    }
    Ok(())
}

fn tell(recipe: &Recipe) {
    say(&recipe.why);
    for (number, step) in (1_u32..).zip(&recipe.steps) {
        say(&format!("\n{number}. {}", step.what));
        for line in [&step.link, &step.command].into_iter().flatten() {
            say(&format!("       {line}"));
        }
        if let Some(warning) = &step.warning {
            say(&format!("   Mind: {warning}"));
        }
    }
}

fn mark(config: &Config, arguments: &Undo, reason: String) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let until = after(now, days(arguments.days));
    let wish = MarkUndone { action: arguments.action, until, reason, who: operator(), now };
    match mark_undone_beside(&config.store, &wish)? {
        MarkedUndone::Marked(mark) => {
            let UndoMark { target, until, .. } = mark;
            let (machine_id, sha1) = (target.machine_id, target.sha1);
            say(&format!("until {until:.0}, {sha1} is not quarantined again on {machine_id}"));
            Ok(())
        }
        MarkedUndone::Nothing(state) => {
            let text = format!("it is {state}: it has quarantined nothing, so there is nothing to undo");
            Err(Failure { code: FAILURE, text }.into())
        }
        MarkedUndone::Missing => Err(missing(arguments.action).into()),
    }
}

fn list(file: &ConfigFile, as_json: bool, now: Timestamp) -> anyhow::Result<()> {
    let config = config::load(&file.config, Secrets::Skip)?;
    let mut place = None;
    loop {
        let page = undo_marks_beside(&config.store, place, PAGE, now)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        place = Some(last.target);
        for mark in &page {
            say(&if as_json { written(mark) } else { told(mark) });
        }
    }
}

fn written(mark: &UndoMark) -> String {
    json!({
        "machine_id": mark.target.machine_id.to_string(), "sha1": mark.target.sha1.to_string(),
        "at": mark.at.to_string(), "until": mark.until.to_string(), "by": mark.who.to_string(),
        "reason": mark.reason,
    })
    .to_string()
}

fn told(mark: &UndoMark) -> String {
    let Target { machine_id, sha1 } = mark.target;
    format!("{machine_id} {sha1} until {:.0}, by {}: {}", mark.until, mark.who, mark.reason)
}

fn remove(file: &ConfigFile, target: Target, reason: &str, now: Timestamp) -> anyhow::Result<()> {
    let config = config::load(&file.config, Secrets::Skip)?;
    let remove = RemoveMark { target, reason: why(reason)?, who: operator(), now };
    let Some(mark) = remove_mark_beside(&config.store, &remove)? else {
        let text = "no mark is in force for this device and file; see: undo-marks list".to_owned();
        return Err(Failure { code: FAILURE, text }.into());
    };
    say_error("gone; the file may be quarantined on the device again");
    say(&told(&mark));
    Ok(())
}

fn missing(action: ActionId) -> Failure {
    Failure { code: FAILURE, text: format!("there is no action {action}, or retention has deleted it") }
}
