//! `spool`: shows what a spool keeps, and lets set-aside deliveries wait again.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use crate::spool::{Entry, Place, Spool, SpoolError, SpoolId, entries};

use super::exit::{CONFIG, FAILURE, Failure, IO_ERROR, say, say_error};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what waits, what is dead and what is rejected, with reasons.
    List {
        /// The spool's folder.
        spool: PathBuf,
        /// Write it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a dead or rejected delivery wait again; works beside a running relay.
    Retry {
        /// The spool's folder.
        spool: PathBuf,
        /// The delivery's id in the spool.
        id: SpoolId,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::List { spool, json } => {
            let entries = Spool::existing(spool).and_then(|spool| entries(&spool)).map_err(Failure::from)?;
            if *json { list_json(&entries) } else { list(&entries) }
        }
        What::Retry { spool, id } => {
            let was = Spool::existing(spool).and_then(|spool| spool.retry(*id)).map_err(Failure::from)?;
            say(&format!("{id} was {} and waits again", was.as_str()));
        }
    }
    Ok(())
}

impl From<SpoolError> for Failure {
    /// Gives a spool's failure its exit code.
    fn from(error: SpoolError) -> Self {
        let code = match &error {
            SpoolError::Unusable { .. } => IO_ERROR,
            SpoolError::OtherDestination { .. } | SpoolError::Open { .. } => CONFIG,
            SpoolError::Full { .. }
            | SpoolError::InUse(_)
            | SpoolError::Missing(_)
            | SpoolError::NoSuchDelivery(_) => FAILURE,
        };
        Self { code, text: error.to_string() }
    }
}

fn list(entries: &[Entry]) {
    for entry in entries {
        let note = entry.note.as_ref();
        let tries = note.map_or(0, |note| note.tries);
        let reason =
            note.map(|note| note.reason.as_str()).or(entry.problem.as_deref()).unwrap_or("not tried yet");
        let received_at = entry.received_at.as_deref().unwrap_or("-");
        let id = entry.id.map_or_else(|| entry.file.clone(), |id| id.to_string());
        say(&format!("{:<9} {id}  received {received_at}  tries {tries}  {reason}", entry.place.as_str()));
        if let Some(answer) = note.and_then(|note| note.answer.as_ref()) {
            say(&format!("          {}", answer.replace('\n', " ")));
        }
    }
    let counts = Place::ALL.map(|place| format!("{} {}", count(entries, place), place.as_str()));
    say_error(&counts.join(", "));
}

fn count(entries: &[Entry], place: Place) -> usize {
    entries.iter().filter(|entry| entry.place == place).count()
}

fn list_json(entries: &[Entry]) {
    let deliveries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({"place": entry.place.as_str(), "id": entry.id.map(|id| id.to_string()), "file": entry.file,
                   "webhook_id": entry.signed_id, "received_at": entry.received_at, "problem": entry.problem,
                   "note": entry.note})
        })
        .collect();
    let counts: serde_json::Map<_, _> =
        Place::ALL.iter().map(|place| (place.as_str().to_owned(), json!(count(entries, *place)))).collect();
    say(&json!({"counts": counts, "deliveries": deliveries}).to_string());
}
