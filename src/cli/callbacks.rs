//! `callbacks`: who is told what became of actions, how far that has come, and having it told again; beside a running service.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::alert::{CallbackName, MessageState};
use crate::clock::Clock;
use crate::config::{self, Config, Secrets};
use crate::store::{
    CallbackRecord, MessageFilter, MessageRecord, ReplayMessages, Replayed, ResumeCallback, callbacks_beside,
    messages_beside, replay_messages_beside, resume_callback_beside,
};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say, say_error};
use super::operator::{operator, why};

/// How many messages are read at once.
const PAGE: u32 = 1_000;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show all callbacks: how they stand, and how many messages each has.
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Write each as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the messages of one, the newest first.
    Messages {
        #[command(flatten)]
        file: ConfigFile,
        /// The callback's name.
        name: CallbackName,
        /// Only those that are queued, delivered or dead.
        #[arg(long)]
        state: Option<MessageState>,
        /// Write each as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have messages sent again.
    Replay {
        #[command(flatten)]
        file: ConfigFile,
        /// The callback's name.
        name: CallbackName,
        /// The one of this id, whatever became of it.
        #[arg(long, required_unless_present = "all_dead")]
        id: Option<String>,
        /// All that were given up.
        #[arg(long, conflicts_with = "id")]
        all_dead: bool,
        /// Why, in one line.
        #[arg(long)]
        reason: String,
    },
    /// Have a callback told again that has answered 410.
    Resume {
        #[command(flatten)]
        file: ConfigFile,
        /// The callback's name.
        name: CallbackName,
        /// Why, in one line.
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::List { file, json } => list(&read(file)?, *json),
        What::Messages { file, name, state, json } => messages(&read(file)?, (name, *state), *json),
        What::Replay { file, name, id, reason, .. } => replay(&read(file)?, name, id.as_ref(), reason),
        What::Resume { file, name, reason } => resume(&read(file)?, name, reason),
    }
}

fn read(file: &ConfigFile) -> anyhow::Result<Config> {
    Ok(config::load(&file.config, Secrets::Skip)?)
}

fn list(config: &Config, as_json: bool) -> anyhow::Result<()> {
    for callback in callbacks_beside(&config.store)? {
        say(&if as_json { written(&callback) } else { told(&callback) });
    }
    Ok(())
}

fn written(callback: &CallbackRecord) -> String {
    json!({
        "name": callback.name.as_str(), "status": callback.standing(), "origin": callback.origin,
        "since": callback.since.to_string(), "gone_at": callback.gone_at.map(|at| at.to_string()),
        "removed_at": callback.removed_at.map(|at| at.to_string()), "queued": callback.queued,
        "oldest_queued_at": callback.oldest_queued_at.map(|at| at.to_string()),
        "delivered": callback.delivered, "dead": callback.dead,
    })
    .to_string()
}

fn told(callback: &CallbackRecord) -> String {
    let CallbackRecord { name, origin, queued, delivered, dead, .. } = callback;
    let oldest = callback.oldest_queued_at.map(|at| format!(", the oldest of {at:.0}")).unwrap_or_default();
    let standing = callback.standing();
    format!("{name} {standing} {origin}: {queued} queued{oldest}, {delivered} delivered, {dead} dead")
}

fn messages(
    config: &Config,
    (name, state): (&CallbackName, Option<MessageState>),
    as_json: bool,
) -> anyhow::Result<()> {
    let mut place = None;
    loop {
        let filter = MessageFilter { callback: name.clone(), state, before: place, limit: PAGE };
        let page = messages_beside(&config.store, &filter)?.ok_or_else(|| missing(name))?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        place = Some(last.seq);
        for message in &page {
            say(&if as_json { written_message(message) } else { told_message(message) });
        }
    }
}

fn written_message(message: &MessageRecord) -> String {
    json!({
        "id": message.id, "type": message.event.as_str(), "action_id": message.action.to_string(),
        "state": message.state.as_str(), "attempts": message.attempts, "created_at": message.created_at.to_string(),
        "next_at": message.next_at.map(|at| at.to_string()), "tried_at": message.tried_at.map(|at| at.to_string()),
        "http_status": message.status, "why": message.why, "ended_at": message.ended_at.map(|at| at.to_string()),
    })
    .to_string()
}

fn told_message(message: &MessageRecord) -> String {
    let MessageRecord { id, event, action, state, attempts, created_at, .. } = message;
    let next = message.next_at.map(|at| format!(", next {at:.0}")).unwrap_or_default();
    let why = message.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{id} {state} {event} of action {action}, made {created_at:.0}, {attempts} in vain{next}{why}")
}

fn replay(config: &Config, name: &CallbackName, id: Option<&String>, reason: &str) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let (callback, id) = (name.clone(), id.cloned());
    let replay = ReplayMessages { callback, id, who: operator(), reason: why(reason)?, now };
    match replay_messages_beside(&config.store, &replay)? {
        Replayed::Queued { count, left } => {
            say(&format!("{count} to be sent again, {left} are still given up"));
            Ok(())
        }
        Replayed::Missing => {
            let text = format!("callback {name} is not known, or has no such message; see: callbacks list");
            Err(Failure { code: FAILURE, text }.into())
        }
        Replayed::Closed(why) => Err(Failure { code: FAILURE, text: why.to_owned() }.into()),
    }
}

fn resume(config: &Config, name: &CallbackName, reason: &str) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let resume = ResumeCallback { name: name.clone(), who: operator(), reason: why(reason)?, now };
    let callback = resume_callback_beside(&config.store, &resume)?.ok_or_else(|| missing(name))?;
    say_error("it is told what happens from now on; what was given up is sent again by: callbacks replay");
    say(&told(&callback));
    Ok(())
}

fn missing(name: &CallbackName) -> Failure {
    Failure { code: FAILURE, text: format!("there is no callback {name}; see: callbacks list") }
}
