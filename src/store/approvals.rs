//! What persons say about held actions. Every approval and denial, whichever way it came, goes through one function.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::alert::{Action, ActionId, Advance, Change, Patch, State, Who, after, millis};
use crate::audit::Act;
use crate::policy::{Approval, Approvals, Verdict};

use super::audit::{self, Administered};
use super::rows::{Columns, to_json};
use super::{Store, StoreError, advance, intent};

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
            _ => Err(StoreError::Corrupt(format!("{word:?} is nothing that a person can say"))),
        }
    }
}

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
    /// The person has a part in the action: its submitter, or whoever completed it.
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

/// A guard that holds an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which guard.
    pub guard: String,
    /// How many persons must approve; `None` if no approval helps.
    pub approvers: Option<u8>,
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
    /// When.
    pub at: Timestamp,
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
fn take(tx: &Transaction<'_>, judge: &Judge) -> Result<Judged, StoreError> {
    let Some(action) = intent::load(tx, judge.action)? else {
        return Ok(Judged::Missing);
    };
    if has_part(tx, &action, &judge.who)? {
        return Ok(Judged::OwnAction);
    }
    let is_over = action.expires_at.is_some_and(|at| at <= judge.now);
    if action.state != State::Held || is_over {
        let state = if is_over && action.state == State::Held { State::Expired } else { action.state };
        let already = said_before(tx, judge)?;
        return Ok(if already { Judged::Already } else { Judged::NotHeld(state) });
    }
    match &judge.word {
        Word::Deny => {
            keep(tx, judge)?;
            let facts = vec!["no call for it was made".to_owned()];
            advance::apply(tx, &judged(&action, judge, State::Denied, facts, Patch::default()))?;
            Ok(Judged::Denied)
        }
        Word::Approve { holds } => approve(tx, &action, judge, holds),
    }
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
    keep(tx, judge)?;
    let approvals = of(tx, action.id)?;
    let is_satisfied =
        |hold: &Hold| hold.guard.parse().is_ok_and(|guard| approvals.satisfy(guard, hold.approvers));
    if !holds.iter().all(is_satisfied) {
        return Ok(Judged::Kept);
    }
    let facts = words(tx, action.id)?.iter().map(told).collect();
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

/// Says whether the person has brought the action about: as its source, by having its delivery read again, or by saying
/// which device or file it means. Only a person with a token is a person.
fn has_part(tx: &Transaction<'_>, action: &Action, who: &Who) -> Result<bool, StoreError> {
    let Who::Token(name) = who else {
        return Ok(true);
    };
    if name.as_str() == action.source.as_str() {
        return Ok(true);
    }
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM actions a JOIN history h ON h.action_seq = a.seq
         WHERE a.id = ?1 AND h.who = ?2 AND NOT EXISTS (
             SELECT 1 FROM approvals p WHERE p.action_seq = a.seq AND p.who = h.who AND p.at = h.at)",
    )?;
    let took_part = statement.exists([action.id.to_string(), who.to_string()])?;
    let completed = action.completion.as_ref().is_some_and(|completion| completion.by == *who);
    Ok(took_part || completed)
}

fn said_before(tx: &Transaction<'_>, judge: &Judge) -> Result<bool, StoreError> {
    let same = |kept: &KeptWord| kept.who == judge.who && kept.word == judge.word;
    Ok(words(tx, judge.action)?.iter().any(same))
}

fn keep(tx: &Transaction<'_>, judge: &Judge) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO approvals (action_seq, word, who, guards, reason, at)
         SELECT seq, ?2, ?3, ?4, ?5, ?6 FROM actions WHERE id = ?1",
    )?
    .execute(params![
        judge.action.to_string(),
        judge.word.as_str(),
        judge.who.to_string(),
        to_json(&judge.word.holds())?,
        judge.reason,
        millis(judge.now),
    ])?;
    let (act, holds) = match &judge.word {
        Word::Approve { holds } => (Act::ApproveAction, Some(holds.join(", "))),
        Word::Deny => (Act::DenyAction, None),
    };
    let done = Administered {
        action: Some(judge.action),
        to: holds,
        reason: Some(judge.reason.clone()),
        ..Administered::new(&judge.who, act, judge.now)
    };
    audit::administered(tx, &done)
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

/// Returns the approvals of an action, as policy takes them.
pub(super) fn of(db: &Connection, action: ActionId) -> Result<Approvals, StoreError> {
    let approvals =
        words(db, action)?.into_iter().filter(|word| word.word != Word::Deny).map(|word| Approval {
            by: word.who.to_string(),
            guards: word.word.holds().iter().filter_map(|guard| guard.parse().ok()).collect(),
            at: word.at,
        });
    Ok(Approvals(approvals.collect()))
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

/// Returns what persons have said about an action, oldest first.
pub(super) fn words(db: &Connection, action: ActionId) -> Result<Vec<KeptWord>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT p.* FROM approvals p JOIN actions a ON a.seq = p.action_seq WHERE a.id = ?1 ORDER BY p.seq",
    )?;
    let mut found = statement.query([action.to_string()])?;
    let mut words = Vec::new();
    while let Some(row) = found.next()? {
        let columns = Columns(row);
        words.push(KeptWord {
            word: Word::read(&columns.raw::<String>("word")?, columns.json("guards")?)?,
            who: columns.parsed("who")?,
            reason: columns.raw("reason")?,
            at: columns.time("at")?,
        });
    }
    Ok(words)
}

/// Returns how many actions have been held since then or longer.
fn held_since(db: &Connection, since: Timestamp) -> Result<u32, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT count(*) FROM actions WHERE state = 'held' AND changed_at <= ?1")?;
    Ok(statement.query_row([millis(since)], |row| row.get(0))?)
}
