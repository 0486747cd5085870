//! What persons say about held actions. Every approval and denial, whichever way it came, goes through one function.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::alert::{Action, ActionId, Advance, Change, Patch, State, Who, after, millis};
use crate::audit::Act;
use crate::policy::Verdict;

use super::audit::{self, Administered};
use super::rows::{Columns, to_json};
use super::words::{self, KeptWord, Via, Word};
use super::{Store, StoreError, advance, kept_action, parts, seal};

/// A person's word about a held action.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The action.
    pub action: ActionId,
    /// What the person says.
    pub word: Word,
    /// Why, in one line.
    pub reason: String,
    /// Who says so.
    pub who: Who,
    /// The way that it comes by.
    pub via: Via,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Nothing holds it any more that was seen: it is looked at and decided again.
    Resumed,
    /// It is kept, and other persons must approve too.
    Kept,
    /// The action is denied.
    Denied,
    /// The same person has said the same before.
    Already,
    /// The person has a part in the action: its submitter, whoever completed it, whoever made a link for it.
    OwnAction,
    /// The action does not wait for a person: it is in this state.
    NotHeld(State),
    /// This is not a guard that holds it.
    NoSuchHold(String),
    /// This guard holds because something is missing that no approval can stand for.
    NotApprovable(String),
    /// There is no such action.
    Missing,
}

impl fmt::Display for Judged {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resumed => f.write_str("nothing holds it any more"),
            Self::Kept => f.write_str("others must approve too"),
            Self::Denied => f.write_str("denied"),
            Self::Already => f.write_str("was said before"),
            Self::OwnAction => f.write_str("refused: has a part in the action"),
            Self::NotHeld(state) => write!(f, "refused: not held, {state}"),
            Self::NoSuchHold(guard) => write!(f, "refused: not held by {guard}"),
            Self::NotApprovable(guard) => write!(f, "refused: no approval stands for {guard}"),
            Self::Missing => f.write_str("no such action"),
        }
    }
}

/// A guard that holds an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which guard.
    pub guard: String,
    /// How many persons must approve; `None` if no approval helps.
    pub approvers: Option<u8>,
}

impl Store {
    /// Returns how many actions have been held since then or longer.
    pub async fn held_since(&self, since: Timestamp) -> Result<u32, StoreError> {
        self.readers.read(move |db| held_since(db, since)).await
    }

    /// Takes a person's word about a held action.
    pub async fn judge(&self, judge: Judge) -> Result<Judged, StoreError> {
        let judged = self.writer.write(move |tx| take(tx, &judge)).await?;
        if judged == Judged::Resumed {
            self.work_arrived.notify_one();
        }
        Ok(judged)
    }
}

/// Takes a person's word. The one place where an approval is made: whoever may not give one is refused here, whichever
/// way the word came. It is in the audit, in the same transaction.
pub(super) fn take(tx: &Transaction<'_>, judge: &Judge) -> Result<Judged, StoreError> {
    let Some(action) = kept_action::load(tx, judge.action)? else {
        return Ok(Judged::Missing);
    };
    if is_own(tx, &action, judge)? {
        return Ok(Judged::OwnAction);
    }
    let state = state_by_now(&action, judge.now);
    if state != State::Held {
        let already = said_before(tx, judge)?;
        return Ok(if already { Judged::Already } else { Judged::NotHeld(state) });
    }
    match &judge.word {
        Word::Deny => {
            keep(tx, &action, judge)?;
            let facts = vec!["no call for it was made".to_owned()];
            advance::apply(tx, &judged(&action, judge, State::Denied, facts, Patch::default()))?;
            Ok(Judged::Denied)
        }
        Word::Approve { holds } => approve(tx, &action, judge, holds),
    }
}

/// Returns the state of an action. One that has been held for too long may not be marked as expired yet.
pub(super) fn state_by_now(action: &Action, now: Timestamp) -> State {
    let is_over = action.expires_at.is_some_and(|at| at <= now);
    if is_over && action.state == State::Held { State::Expired } else { action.state }
}

fn approve(
    tx: &Transaction<'_>,
    action: &Action,
    judge: &Judge,
    named: &[String],
) -> Result<Judged, StoreError> {
    let holds = holds(tx, action.id)?;
    for guard in named {
        match holds.iter().find(|hold| hold.guard == *guard) {
            None => return Ok(Judged::NoSuchHold(guard.clone())),
            Some(Hold { approvers: None, .. }) => return Ok(Judged::NotApprovable(guard.clone())),
            Some(_) => {}
        }
    }
    if said_before(tx, judge)? {
        return Ok(Judged::Already);
    }
    keep(tx, action, judge)?;
    let approvals = words::approvals(tx, action.id)?;
    let is_satisfied =
        |hold: &Hold| hold.guard.parse().is_ok_and(|guard| approvals.satisfy(guard, hold.approvers));
    if !holds.iter().all(is_satisfied) {
        return Ok(Judged::Kept);
    }
    let facts = words::of(tx, action.id)?.iter().map(told).collect();
    let patch = Patch {
        next_at: Some(judge.now),
        expires_at: Some(after(judge.now, action.hold_limit(judge.now))),
        ..Patch::default()
    };
    advance::apply(tx, &judged(action, judge, State::Resolving, facts, patch))?;
    Ok(Judged::Resumed)
}

fn told(word: &KeptWord) -> String {
    format!("approved by {}: {}", word.who, word.word.holds().join(", "))
}

fn judged(action: &Action, judge: &Judge, to: State, facts: Vec<String>, patch: Patch) -> Advance {
    let (why, who) = (judge.reason.clone(), judge.who.clone());
    let change = Change { at: judge.now, from: Some(State::Held), to, why, who, facts };
    Advance { action: action.id, expected: State::Held, changes: vec![change], patch }
}

/// Says whether somebody from whom the word comes may not say it.
///
/// Whoever makes a link holds it first, and could say by it what they like in the approver's name. So they must be somebody
/// else than the approver, and must not have brought the action about themselves.
fn is_own(tx: &Transaction<'_>, action: &Action, judge: &Judge) -> Result<bool, StoreError> {
    let is_own = parts::has_part(tx, action, &judge.who)?;
    match &judge.via {
        Via::Api | Via::Cli => Ok(is_own),
        Via::Link { made_by } => {
            let is_theirs = made_by.may_be(&judge.who) || parts::brought_about(tx, action, made_by)?;
            Ok(is_own || is_theirs)
        }
    }
}

fn said_before(tx: &Transaction<'_>, judge: &Judge) -> Result<bool, StoreError> {
    let same = |kept: &KeptWord| kept.who.may_be(&judge.who) && kept.word == judge.word;
    Ok(words::of(tx, judge.action)?.iter().any(same))
}

/// Keeps a word, under the action's seal.
fn keep(tx: &Transaction<'_>, action: &Action, judge: &Judge) -> Result<(), StoreError> {
    write(tx, judge)?;
    seal::write(tx, action)?;
    let (act, holds) = match &judge.word {
        Word::Approve { holds } => (Act::ApproveAction, Some(holds.join(", "))),
        Word::Deny => (Act::DenyAction, None),
    };
    let done = Administered {
        action: Some(judge.action),
        to: holds,
        reason: Some(judge.reason.clone()),
        after: Some(format!("by {}", judge.via.as_str())),
        ..Administered::new(&judge.who, act, judge.now)
    };
    audit::administered(tx, &done)
}

/// Writes a person's word.
fn write(tx: &Transaction<'_>, judge: &Judge) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO approvals (action_seq, word, who, guards, reason, via, at, link_made_by)
         SELECT seq, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM actions WHERE id = ?1",
    )?
    .execute(params![
        judge.action.to_string(),
        judge.word.as_str(),
        judge.who.principal(),
        to_json(&judge.word.holds())?,
        judge.reason,
        judge.via.as_str(),
        millis(judge.now),
        judge.via.made_by().map(Who::principal),
    ])?;
    Ok(())
}

/// Keeps which guards hold an action now, in place of those that did before.
pub(super) fn keep_holds(
    tx: &Transaction<'_>,
    action: ActionId,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    let id = action.to_string();
    tx.prepare_cached("DELETE FROM holds WHERE action_seq = (SELECT seq FROM actions WHERE id = ?1)")?
        .execute([&id])?;
    if verdict.state() != State::Held {
        return Ok(());
    }
    for hold in &verdict.open_holds {
        tx.prepare_cached(
            "INSERT INTO holds (action_seq, guard, approvers) SELECT seq, ?2, ?3 FROM actions WHERE id = ?1",
        )?
        .execute(params![id, hold.guard.as_str(), hold.approvers])?;
    }
    Ok(())
}

/// Returns the holds of an action, by name.
pub(super) fn holds(db: &Connection, action: ActionId) -> Result<Vec<Hold>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT h.guard, h.approvers FROM holds h JOIN actions a ON a.seq = h.action_seq WHERE a.id = ?1",
    )?;
    let mut found = statement.query([action.to_string()])?;
    let mut holds = Vec::new();
    while let Some(row) = found.next()? {
        let columns = Columns(row);
        holds.push(Hold { guard: columns.raw("guard")?, approvers: columns.raw("approvers")? });
    }
    Ok(holds)
}

/// Returns how many actions have been held since then or longer.
fn held_since(db: &Connection, since: Timestamp) -> Result<u32, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT count(*) FROM actions WHERE state = 'held' AND changed_at <= ?1")?;
    Ok(statement.query_row([millis(since)], |row| row.get(0))?)
}
