//! The breaker on blast radius on disk: a breached limit opens it, and only a person closes it.
//!
//! While it is open, policy lets nothing out that no person has approved. It is read in the transactions that decide an action
//! and record an intent, so nothing that was decided before slips through.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::alert::{ActionId, Who, millis};
use crate::audit::Act;
use crate::policy::Verdict;

use super::audit::{self, Administered};
use super::rows::Columns;
use super::turn::Turn;
use super::{Options, Store, StoreError, connection};

/// How the breaker on blast radius stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlastBreaker {
    /// Nothing goes out that no person has approved.
    pub is_open: bool,
    /// How it came to be so; `None` if it was never opened.
    pub last: Option<Turn>,
}

/// The wish to close the breaker.
#[derive(Debug, Clone)]
pub struct CloseBlastBreaker {
    /// Who wants it.
    pub who: Who,
    /// Why, in one line.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}

impl Store {
    /// Returns how the breaker on blast radius stands.
    pub async fn blast_breaker(&self) -> Result<BlastBreaker, StoreError> {
        self.readers.read(read).await
    }

    /// Closes the breaker on blast radius; returns whether it was open. What is held stays held.
    pub async fn close_blast_breaker(&self, close: CloseBlastBreaker) -> Result<bool, StoreError> {
        self.writer.write(move |tx| self::close(tx, &close)).await
    }
}

/// Reads how it stands.
pub(super) fn read(db: &Connection) -> Result<BlastBreaker, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM blast_breaker_turns ORDER BY seq DESC LIMIT 1")?;
    let mut found = statement.query([])?;
    let Some(row) = found.next()? else {
        return Ok(BlastBreaker { is_open: false, last: None });
    };
    let columns = Columns(row);
    Ok(BlastBreaker { is_open: columns.raw("is_open")?, last: Some(Turn::read(&columns)?) })
}

/// Returns since when it is open, if it is.
pub(super) fn open_since(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let BlastBreaker { is_open, last } = read(db)?;
    Ok(last.filter(|_| is_open).map(|turn| turn.at))
}

/// Opens it if the action would have gone past a limit.
pub(super) fn heed(
    tx: &Transaction<'_>,
    action: ActionId,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(breach) = &verdict.breach else {
        return Ok(());
    };
    if read(tx)?.is_open {
        return Ok(());
    }
    let done =
        Administered { action: Some(action), ..Administered::new(&Who::Bridge, Act::OpenBlastBreaker, now) };
    keep(tx, true, breach, done)
}

fn close(tx: &Transaction<'_>, close: &CloseBlastBreaker) -> Result<bool, StoreError> {
    if !read(tx)?.is_open {
        return Ok(false);
    }
    let done = Administered::new(&close.who, Act::CloseBlastBreaker, close.now);
    keep(tx, false, &close.reason, done)?;
    Ok(true)
}

fn keep(tx: &Transaction<'_>, is_open: bool, reason: &str, done: Administered<'_>) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO blast_breaker_turns (at, is_open, who, reason) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![millis(done.now), is_open, done.who.principal(), reason])?;
    audit::administered(tx, &Administered { reason: Some(reason.to_owned()), ..done })
}

/// Reads how it stands in a database that a server may be using at the same time.
pub fn blast_breaker_beside(options: &Options) -> Result<BlastBreaker, StoreError> {
    read(&connection::open_to_read(&options.path)?)
}

/// Closes it in a database that a server may be using at the same time; returns whether it was open.
pub fn close_blast_breaker_beside(options: &Options, close: &CloseBlastBreaker) -> Result<bool, StoreError> {
    connection::write_beside(&options.path, |tx| self::close(tx, close))
}
