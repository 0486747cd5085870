//! What persons have said about an action, as it is kept. A seal covers it.

use jiff::Timestamp;
use rusqlite::Connection;

use crate::alert::{ActionId, Who, from_millis};
use crate::policy::{Approval, Approvals};

use super::StoreError;
use super::rows::{Columns, corrupt, parse};

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Send it, although these guards hold it.
    Approve {
        /// The guards whose holds the person has seen.
        holds: Vec<String>,
    },
    /// Do not send it.
    Deny,
}

impl Word {
    /// Returns the word used in API and store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Deny => "deny",
        }
    }

    /// Returns the guards whose holds are approved.
    pub fn holds(&self) -> &[String] {
        match self {
            Self::Approve { holds } => holds,
            Self::Deny => &[],
        }
    }

    fn read(word: &str, holds: Vec<String>) -> Result<Self, StoreError> {
        match word {
            "approve" => Ok(Self::Approve { holds }),
            "deny" => Ok(Self::Deny),
            _ => Err(corrupt("word", &format!("{word:?} is nothing that a person can say"))),
        }
    }
}

/// The way that a word came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A request to the API.
    Api,
    /// The command, which asks the API.
    Cli,
    /// A one-time link.
    Link {
        /// Who made it.
        made_by: Who,
    },
}

impl Via {
    /// Returns the word used in API, store and audit.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Link { .. } => "link",
        }
    }

    /// Returns who made the link, if it was one.
    pub fn made_by(&self) -> Option<&Who> {
        match self {
            Self::Link { made_by } => Some(made_by),
            Self::Api | Self::Cli => None,
        }
    }

    fn read(text: &str, made_by: Option<String>) -> Result<Self, StoreError> {
        match (text, made_by) {
            ("api", None) => Ok(Self::Api),
            ("cli", None) => Ok(Self::Cli),
            ("link", Some(who)) => Ok(Self::Link { made_by: parse("link_made_by", &who)? }),
            _ => Err(corrupt("via", &format!("{text:?} is no way that a word can come by"))),
        }
    }
}

/// A person's word as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptWord {
    /// What.
    pub word: Word,
    /// Who.
    pub who: Who,
    /// Why.
    pub reason: String,
    /// By which way it came.
    pub via: Via,
    /// When.
    pub at: Timestamp,
}

/// A row as it is kept: word, who, guards, reason, via, at, and who made the link.
type Kept = (String, String, String, String, String, i64, Option<String>);

fn read((word, who, guards, reason, via, at, made_by): Kept) -> Result<KeptWord, StoreError> {
    let guards = serde_json::from_str(&guards).map_err(|error| corrupt("guards", &error))?;
    let (word, who, via) = (Word::read(&word, guards)?, parse("who", &who)?, Via::read(&via, made_by)?);
    Ok(KeptWord { word, who, reason, via, at: from_millis(at) })
}

/// Returns what persons have said about the action of a row, oldest first.
pub(super) fn of_row(columns: &Columns<'_, '_>) -> Result<Vec<KeptWord>, StoreError> {
    columns.json::<Vec<Kept>>("words")?.into_iter().map(read).collect()
}

/// Returns what persons have said about an action, oldest first.
pub(super) fn of(db: &Connection, action: ActionId) -> Result<Vec<KeptWord>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT p.word, p.who, p.guards, p.reason, p.via, p.at, p.link_made_by
         FROM approvals p JOIN actions a ON a.seq = p.action_seq WHERE a.id = ?1 ORDER BY p.seq",
    )?;
    let kept = statement.query_map([action.to_string()], |row| row.try_into())?;
    kept.map(|kept| read(kept?)).collect()
}

/// Returns the approvals of an action, as policy takes them.
pub(super) fn approvals(db: &Connection, action: ActionId) -> Result<Approvals, StoreError> {
    let mut words = of(db, action)?;
    words.retain(|word| word.word != Word::Deny);
    let approval = |word: &KeptWord| {
        // Two who may be one person count once: as the first of them.
        let first = words.iter().map(|word| &word.who).find(|who| who.may_be(&word.who));
        Approval {
            by: first.unwrap_or(&word.who).person(),
            guards: word.word.holds().iter().filter_map(|guard| guard.parse().ok()).collect(),
            at: word.at,
        }
    };
    Ok(Approvals(words.iter().map(approval).collect()))
}
