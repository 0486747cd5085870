//! The callbacks that there are: known from one configuration to the next, so that none misses what happened in between.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::alert::{CallbackName, Who, millis};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::rows::{Columns, unsigned};
use super::{Options, Store, StoreError, connection};

/// Why messages of a callback are given up that has answered 410.
const GONE: &str = "the callback has answered 410: it wants nothing any more";

/// Why messages of a callback are given up that is not configured any more.
const REMOVED: &str = "the callback is not in the configuration any more";

/// A callback that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name.
    pub name: CallbackName,
    /// Where it leads, without the path, which may be a secret.
    pub origin: String,
    /// The SHA-256 of where it leads.
    pub url_sha256: [u8; 32],
}

/// A callback, and how far it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRecord {
    /// Its name.
    pub name: CallbackName,
    /// Where it leads, without the path.
    pub origin: String,
    /// Since when it is told.
    pub since: Timestamp,
    /// Since when it wants nothing any more: it has answered 410.
    pub gone_at: Option<Timestamp>,
    /// Since when the configuration does not have it any more.
    pub removed_at: Option<Timestamp>,
    /// How many of its messages are to be sent.
    pub queued: u64,
    /// When the oldest of these was made.
    pub oldest_queued_at: Option<Timestamp>,
    /// How many it has taken, of those that are still kept.
    pub delivered: u64,
    /// How many were given up, of those that are still kept.
    pub dead: u64,
}

impl CallbackRecord {
    /// Returns the word for how it stands: `active`, `gone` or `removed`.
    pub fn standing(&self) -> &'static str {
        match (self.removed_at, self.gone_at) {
            (Some(_), _) => "removed",
            (None, Some(_)) => "gone",
            (None, None) => "active",
        }
    }
}

/// The wish to tell a callback again that has answered 410.
#[derive(Debug, Clone)]
pub struct ResumeCallback {
    /// Which.
    pub name: CallbackName,
    /// Who wants it.
    pub who: Who,
    /// Why, in one line.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}

impl Store {
    /// Takes over which callbacks are configured. A new one is told what happens from now on; one that is not there any more has
    /// the rest of its messages given up; one that leads elsewhere now is no longer gone.
    pub async fn register_callbacks(
        &self,
        configured: Vec<Registration>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.write(move |tx| register(tx, &configured, now)).await
    }

    /// Returns all callbacks, by name.
    pub async fn callbacks(&self) -> Result<Vec<CallbackRecord>, StoreError> {
        self.readers.read(all).await
    }

    /// Has a callback told again; returns it, or `None` if there is no such callback.
    pub async fn resume_callback(
        &self,
        resume: ResumeCallback,
    ) -> Result<Option<CallbackRecord>, StoreError> {
        self.writer.write(move |tx| self::resume(tx, &resume)).await
    }
}

fn register(tx: &Transaction<'_>, configured: &[Registration], now: Timestamp) -> Result<(), StoreError> {
    for one in configured {
        tx.prepare_cached(
            "INSERT INTO callbacks (name, origin, url_sha256, told_to, since)
             VALUES (?1, ?2, ?3, (SELECT coalesce(max(seq), 0) FROM audit), ?4)
             ON CONFLICT (name) DO UPDATE SET
                 told_to = CASE WHEN removed_at IS NULL THEN told_to ELSE excluded.told_to END,
                 since = CASE WHEN removed_at IS NULL THEN since ELSE excluded.since END,
                 gone_at = CASE WHEN url_sha256 = excluded.url_sha256 THEN gone_at END,
                 removed_at = NULL, origin = excluded.origin, url_sha256 = excluded.url_sha256",
        )?
        .execute(params![one.name.as_str(), one.origin, one.url_sha256, millis(now)])?;
    }
    for known in all(tx)? {
        if known.removed_at.is_none() && !configured.iter().any(|one| one.name == known.name) {
            tx.prepare_cached("UPDATE callbacks SET removed_at = ?2 WHERE name = ?1")?
                .execute(params![known.name.as_str(), millis(now)])?;
            give_up(tx, &known.name, REMOVED, now)?;
        }
    }
    Ok(())
}

/// Notes that a callback wants nothing any more. What it was to be told is given up.
pub(super) fn is_gone_now(
    tx: &Transaction<'_>,
    name: &CallbackName,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE callbacks SET gone_at = coalesce(gone_at, ?2) WHERE name = ?1")?
        .execute(params![name.as_str(), millis(now)])?;
    give_up(tx, name, GONE, now)
}

/// Gives up all that a callback was to be told.
fn give_up(tx: &Transaction<'_>, name: &CallbackName, why: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE messages SET state = 'dead', next_at = NULL, why = ?2, ended_at = ?3
         WHERE callback = ?1 AND state = 'queued'",
    )?
    .execute(params![name.as_str(), why, millis(now)])?;
    Ok(())
}

/// Where a callback stands.
pub(super) struct Place {
    /// The entry of the audit up to which it has messages.
    pub(super) told_to: u64,
    /// Why what it is told is given up at once, if it is.
    pub(super) closed: Option<&'static str>,
}

pub(super) fn place(db: &Connection, name: &CallbackName) -> Result<Option<Place>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT told_to, gone_at, removed_at FROM callbacks WHERE name = ?1")?;
    let found = statement.query_row([name.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?))
    });
    Ok(found.optional()?.map(|(told_to, gone_at, removed_at)| Place {
        told_to: unsigned(told_to),
        closed: removed_at.map(|_| REMOVED).or(gone_at.map(|_| GONE)),
    }))
}

fn all(db: &Connection) -> Result<Vec<CallbackRecord>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT c.*,
             (SELECT count(*) FROM messages m WHERE m.callback = c.name AND m.state = 'queued') AS queued,
             (SELECT min(m.created_at) FROM messages m WHERE m.callback = c.name AND m.state = 'queued') AS oldest,
             (SELECT count(*) FROM messages m WHERE m.callback = c.name AND m.state = 'delivered') AS delivered,
             (SELECT count(*) FROM messages m WHERE m.callback = c.name AND m.state = 'dead') AS dead
         FROM callbacks c ORDER BY c.name",
    )?;
    let mut rows = statement.query([])?;
    let mut callbacks = Vec::new();
    while let Some(row) = rows.next()? {
        callbacks.push(record(row)?);
    }
    Ok(callbacks)
}

fn record(row: &Row<'_>) -> Result<CallbackRecord, StoreError> {
    let columns = Columns(row);
    Ok(CallbackRecord {
        name: columns.parsed("name")?,
        origin: columns.raw("origin")?,
        since: columns.time("since")?,
        gone_at: columns.maybe_time("gone_at")?,
        removed_at: columns.maybe_time("removed_at")?,
        queued: unsigned(columns.raw("queued")?),
        oldest_queued_at: columns.maybe_time("oldest")?,
        delivered: unsigned(columns.raw("delivered")?),
        dead: unsigned(columns.raw("dead")?),
    })
}

fn find(db: &Connection, name: &CallbackName) -> Result<Option<CallbackRecord>, StoreError> {
    Ok(all(db)?.into_iter().find(|callback| callback.name == *name))
}

/// What it missed stays given up: it can be sent again, by name or all of it.
fn resume(tx: &Transaction<'_>, resume: &ResumeCallback) -> Result<Option<CallbackRecord>, StoreError> {
    let known = find(tx, &resume.name)?;
    if known.as_ref().is_none_or(|callback| callback.gone_at.is_none()) {
        return Ok(known);
    }
    tx.prepare_cached("UPDATE callbacks SET gone_at = NULL WHERE name = ?1")?
        .execute([resume.name.as_str()])?;
    let done = Administered {
        to: Some(format!("callback {}", resume.name)),
        reason: Some(resume.reason.clone()),
        before: known.map(|callback| callback.standing().to_owned()),
        ..Administered::new(&resume.who, Act::ResumeCallback, resume.now)
    };
    audit::administered(tx, &done)?;
    find(tx, &resume.name)
}

/// Forgets callbacks that are not configured any more and have no messages left.
pub(super) fn forget(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM callbacks WHERE removed_at IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM messages m WHERE m.callback = callbacks.name)",
    )?
    .execute([])?;
    Ok(())
}

/// Returns the callbacks of a database that a server may be using at the same time.
pub fn callbacks_beside(options: &Options) -> Result<Vec<CallbackRecord>, StoreError> {
    all(&connection::open_to_read(&options.path)?)
}

/// Has a callback told again, in a database that a server may be using at the same time.
pub fn resume_callback_beside(
    options: &Options,
    resume: &ResumeCallback,
) -> Result<Option<CallbackRecord>, StoreError> {
    connection::write_beside(&options.path, |tx| self::resume(tx, resume))
}
