//! The use of a one-time link: its approver's word, once.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::alert::{State, millis};
use crate::audit::Act;

use super::approvals::{self, Judge, Judged};
use super::audit::{self, Administered};
use super::links::{Choice, KeptLink, LinkUse, alive};
use super::words::Via;
use super::{Store, StoreError, kept_action};

/// A word that comes by a link which was proven.
#[derive(Debug, Clone)]
pub struct UseLink {
    /// The link, as it was read when it was proven.
    pub link: KeptLink,
    /// What is said.
    pub choice: Choice,
    /// Why, in one line.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedLink {
    /// It was said: this came of it.
    Judged(Judged),
    /// It was used before, for this.
    Before(LinkUse),
    /// The action is held anew since the link was made, or by something else.
    Stale,
    /// The link is over.
    Over,
}

impl fmt::Display for UsedLink {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judged(judged) => judged.fmt(f),
            Self::Before(_) => f.write_str("was used before"),
            Self::Stale => f.write_str("refused: the action is held anew since it was made"),
            Self::Over => f.write_str("refused: it is over"),
        }
    }
}

impl Store {
    /// Takes a word that comes by a link; the link is used up in the same transaction.
    pub async fn use_link(&self, said: UseLink) -> Result<UsedLink, StoreError> {
        let used = self.writer.write(move |tx| use_up(tx, &said)).await?;
        if used == UsedLink::Judged(Judged::Resumed) {
            self.work_arrived.notify_one();
        }
        Ok(used)
    }
}

fn use_up(tx: &Transaction<'_>, said: &UseLink) -> Result<UsedLink, StoreError> {
    let Some(link) = alive(tx, &said.link.id, said.now)? else {
        return Ok(UsedLink::Over);
    };
    if let Some(used) = link.used {
        return Ok(UsedLink::Before(used));
    }
    if link != said.link {
        return Ok(UsedLink::Over);
    }
    if is_stale(tx, &link)? {
        return Ok(UsedLink::Stale);
    }
    let judge = Judge {
        action: link.action,
        word: said.choice.word(&link.holds),
        reason: said.reason.clone(),
        who: link.approver.clone(),
        via: Via::Link { made_by: link.made_by.clone() },
        now: said.now,
    };
    let judged = approvals::take(tx, &judge)?;
    if matches!(judged, Judged::Resumed | Judged::Kept | Judged::Denied | Judged::Already) {
        mark_used(tx, &link, &judge)?;
    }
    Ok(UsedLink::Judged(judged))
}

/// Says whether a held action is held anew since the link was made, or by something else. What is not held is told otherwise.
fn is_stale(tx: &Transaction<'_>, link: &KeptLink) -> Result<bool, StoreError> {
    let Some(action) = kept_action::load(tx, link.action)?.filter(|action| action.state == State::Held)
    else {
        return Ok(false);
    };
    Ok(!link.is_about(&action, &approvals::holds(tx, action.id)?))
}

fn mark_used(tx: &Transaction<'_>, link: &KeptLink, judge: &Judge) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE links SET used_at = ?2, used_word = ?3 WHERE id = ?1")?.execute(params![
        link.id,
        millis(judge.now),
        judge.word.as_str()
    ])?;
    let done = Administered {
        action: Some(link.action),
        to: Some(format!("link {}", link.id)),
        after: Some(judge.word.as_str().to_owned()),
        ..Administered::new(&judge.who, Act::UseLink, judge.now)
    };
    audit::administered(tx, &done)
}
