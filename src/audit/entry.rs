//! One entry of the record, and the bytes that stand for it.

use serde::{Deserialize, Serialize};

use crate::alert::State;

use super::deed::{Deed, Move};
use super::digest::Digest;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who: `bridge`, `defender`, `source`, `token:NAME`, `oidc:NAME`, `operator:NAME`.
    pub who: String,
    /// The id of the API token, if it was one: it tells the tokens of one name apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The tenant or issuer and the id of whoever an issuer's token proved: names change, this does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The action it is about, if it is about one.
    pub subject: Option<Subject>,
    /// What was done.
    pub deed: Deed,
}

/// The action that an entry is about, as it was then: the record outlives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Our id of the action.
    pub action: String,
    /// The delivery that brought it.
    pub delivery: String,
    /// Who sent it.
    pub source: String,
    /// The sender's id of the alert.
    pub alert_id: String,
    /// The SHA-256 of the delivery's body.
    pub alert_sha256: Option<Digest>,
    /// Which key proved the sender.
    pub key_id: Option<String>,
    /// The device, once it is known.
    pub machine_id: Option<String>,
    /// The file, once it is known.
    pub sha1: Option<String>,
    /// Defender's id of the machine action, once there is one.
    pub machine_action: Option<String>,
}

impl Entry {
    /// Returns the text that stands for the entry: it is what is kept, digested and handed out.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads an entry back.
    pub fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// Returns the action that the entry is about, the last move that it tells of, and the state which that led to.
    pub fn last_move(&self) -> Option<(&Subject, &Move, State)> {
        let last = self.deed.moves().last()?;
        Some((self.subject.as_ref()?, last, last.to.parse().ok()?))
    }

    /// Returns a line for a person: what was done, or why.
    pub fn message(&self) -> String {
        let last = self.deed.moves().last();
        match &self.deed {
            Deed::Intent { attempt, .. } => format!("call {attempt} of Defender may leave"),
            Deed::Outcome { attempt, answer, .. } => format!("call {attempt} of Defender: {}", answer.told()),
            Deed::CancelCall { attempt, .. } => format!("cancel call {attempt} of Defender may leave"),
            Deed::CancelOutcome { answer } => format!("cancel call of Defender: {}", answer.told()),
            Deed::Decision { .. } | Deed::Change { .. } => {
                last.map_or_else(String::new, |last| format!("{}: {}", last.to, last.why))
            }
            Deed::Administration(done) => {
                let reason = done.reason.as_deref().unwrap_or_default();
                format!("{} {}", done.act.as_str(), reason).trim_end().to_owned()
            }
            Deed::Configuration(read) => {
                let problem = read.problem.as_ref().map(|problem| format!(": {problem}"));
                format!("configuration {}{}", read.act.as_str(), problem.unwrap_or_default())
            }
            Deed::Restore { .. } => "the database was restored from a backup".to_owned(),
            Deed::Checkpoint { .. } => "the record was signed up to here".to_owned(),
        }
    }
}

impl super::Answered {
    fn told(&self) -> String {
        let said = self.message.as_ref().map(|message| format!(", {message}"));
        format!("{}{}", self.outcome, said.unwrap_or_default())
    }
}
