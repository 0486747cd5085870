//! The marks of quarantines that a person has undone: while one is in force, the same is not done again.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, Transaction, params};

use crate::alert::{ActionId, MachineId, Sha1, State, Target, Who, millis};
use crate::audit::Act;
use crate::undo::Need;

use super::audit::{self, Administered};
use super::rows::Columns;
use super::{Options, Store, StoreError, connection, kept_action};

/// How long after it was undone a quarantine is not repeated, if nothing else is said (reference, safety 3.2).
pub const UNDO_LIMIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The mark of a quarantine that a person has undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoMark {
    /// The device and the file.
    pub target: Target,
    /// When it was made.
    pub at: Timestamp,
    /// Until when the same is not done again.
    pub until: Timestamp,
    /// Who made it.
    pub who: Who,
    /// Why.
    pub reason: String,
}

/// The wish to mark what an action has done as undone.
#[derive(Debug, Clone)]
pub struct MarkUndone {
    /// The action.
    pub action: ActionId,
    /// Until when the same is not done again. A mark that is there and ends later keeps its end.
    pub until: Timestamp,
    /// Why, in one line.
    pub reason: String,
    /// Who.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkedUndone {
    /// It is marked.
    Marked(UndoMark),
    /// Nothing of it was sent, or it was refused or cancelled: there is nothing to undo.
    Nothing(State),
    /// There is no such action.
    Missing,
}

impl fmt::Display for MarkedUndone {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marked(mark) => write!(f, "marked until {:.0}", mark.until),
            Self::Nothing(state) => write!(f, "nothing to undo: {state}"),
            Self::Missing => f.write_str("no such action"),
        }
    }
}

/// The wish to take a mark away.
#[derive(Debug, Clone)]
pub struct RemoveMark {
    /// The device and the file.
    pub target: Target,
    /// Why, in one line.
    pub reason: String,
    /// Who.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

impl Store {
    /// Marks what an action has done as undone.
    pub async fn mark_undone(&self, mark: MarkUndone) -> Result<MarkedUndone, StoreError> {
        self.writer.write(move |tx| mark_undone(tx, &mark)).await
    }

    /// Takes a mark away and returns it; `None` if none is in force.
    pub async fn remove_undo_mark(&self, remove: RemoveMark) -> Result<Option<UndoMark>, StoreError> {
        self.writer.write(move |tx| remove_mark(tx, &remove)).await
    }

    /// Returns the marks that are in force, by device and file, after this place.
    pub async fn undo_marks(
        &self,
        after: Option<Target>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<UndoMark>, StoreError> {
        self.readers.read(move |db| page(db, after, limit, now)).await
    }
}

/// Writes a mark, of what was or may have been done. Whoever asks later waits no shorter.
fn mark_undone(tx: &Transaction<'_>, mark: &MarkUndone) -> Result<MarkedUndone, StoreError> {
    let Some(action) = kept_action::load(tx, mark.action)? else {
        return Ok(MarkedUndone::Missing);
    };
    let target = action.target.filter(|_| Need::of(action.state) != Need::Nothing);
    let Some(target) = target else {
        return Ok(MarkedUndone::Nothing(action.state));
    };
    let before = find(tx, target)?.filter(|before| before.until > mark.now);
    let until = before.as_ref().map_or(mark.until, |before| before.until.max(mark.until));
    tx.prepare_cached(
        "INSERT INTO undo_marks (machine_id, sha1, at, until, who, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (machine_id, sha1) DO UPDATE SET
             at = excluded.at, until = excluded.until, who = excluded.who, reason = excluded.reason",
    )?
    .execute(params![
        target.machine_id.to_string(),
        target.sha1.to_string(),
        millis(mark.now),
        millis(until),
        mark.who.principal(),
        mark.reason,
    ])?;
    let done = Administered {
        action: Some(mark.action),
        to: Some(named(target)),
        reason: Some(mark.reason.clone()),
        before: before.map(|before| told(&before)),
        after: Some(format!("until {until:.0}")),
        ..Administered::new(&mark.who, Act::UndoAction, mark.now)
    };
    audit::administered(tx, &done)?;
    let (at, who, reason) = (mark.now, mark.who.clone(), mark.reason.clone());
    Ok(MarkedUndone::Marked(UndoMark { target, at, until, who, reason }))
}

fn remove_mark(tx: &Transaction<'_>, remove: &RemoveMark) -> Result<Option<UndoMark>, StoreError> {
    let Some(mark) = find(tx, remove.target)?.filter(|mark| mark.until > remove.now) else {
        return Ok(None);
    };
    tx.prepare_cached("DELETE FROM undo_marks WHERE machine_id = ?1 AND sha1 = ?2")?
        .execute([remove.target.machine_id.to_string(), remove.target.sha1.to_string()])?;
    let done = Administered {
        to: Some(named(remove.target)),
        reason: Some(remove.reason.clone()),
        before: Some(told(&mark)),
        ..Administered::new(&remove.who, Act::RemoveUndoMark, remove.now)
    };
    audit::administered(tx, &done)?;
    Ok(Some(mark))
}

fn named(target: Target) -> String {
    format!("machine {}, SHA1 {}", target.machine_id, target.sha1)
}

fn told(mark: &UndoMark) -> String {
    format!("until {:.0}, by {}: {}", mark.until, mark.who, mark.reason)
}

/// Returns until when a quarantine is not repeated, if it was ever undone.
pub(super) fn until(db: &Connection, target: Target) -> Result<Option<Timestamp>, StoreError> {
    Ok(find(db, target)?.map(|mark| mark.until))
}

/// Returns the mark of a quarantine.
pub(super) fn find(db: &Connection, target: Target) -> Result<Option<UndoMark>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM undo_marks WHERE machine_id = ?1 AND sha1 = ?2")?;
    let mut found = statement.query([target.machine_id.to_string(), target.sha1.to_string()])?;
    found.next()?.map(mark).transpose()
}

fn mark(row: &Row<'_>) -> Result<UndoMark, StoreError> {
    let columns = Columns(row);
    let (machine_id, sha1): (MachineId, Sha1) = (columns.parsed("machine_id")?, columns.parsed("sha1")?);
    Ok(UndoMark {
        target: Target { machine_id, sha1 },
        at: columns.time("at")?,
        until: columns.time("until")?,
        who: columns.parsed("who")?,
        reason: columns.raw("reason")?,
    })
}

fn page(
    db: &Connection,
    after: Option<Target>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<UndoMark>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT * FROM undo_marks WHERE (machine_id, sha1) > (?1, ?2) AND until > ?3
         ORDER BY machine_id, sha1 LIMIT ?4",
    )?;
    let (machine_id, sha1) =
        after.map_or_else(Default::default, |it| (it.machine_id.to_string(), it.sha1.to_string()));
    let mut found = statement.query(params![machine_id, sha1, millis(now), limit])?;
    let mut marks = Vec::new();
    while let Some(row) = found.next()? {
        marks.push(mark(row)?);
    }
    Ok(marks)
}

/// Marks what an action has done as undone, in a database that a server may be using at the same time.
pub fn mark_undone_beside(options: &Options, mark: &MarkUndone) -> Result<MarkedUndone, StoreError> {
    connection::write_beside(&options.path, |tx| mark_undone(tx, mark))
}

/// Takes a mark away, in a database that a server may be using at the same time.
pub fn remove_mark_beside(options: &Options, remove: &RemoveMark) -> Result<Option<UndoMark>, StoreError> {
    connection::write_beside(&options.path, |tx| remove_mark(tx, remove))
}

/// Returns the marks that are in force in a database that a server may be using at the same time.
pub fn undo_marks_beside(
    options: &Options,
    after: Option<Target>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<UndoMark>, StoreError> {
    page(&connection::open_to_read(&options.path)?, after, limit, now)
}
