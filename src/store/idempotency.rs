//! What was answered under an Idempotency-Key, so that asking again answers the same and does nothing.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Transaction, params};
use sha2::{Digest as _, Sha256};

use crate::alert::{ActionId, Mode, State, Who, before, millis};

use super::StoreError;
use super::rows::to_json;
use super::tokens::Bound;

/// How long a key is known. The alert's id still keeps an action from being made twice after that.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(48);

/// How many old keys are forgotten with each new one.
const FORGET_MAX: u32 = 50;

/// A key under which the same may be asked again: each caller has its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Once([u8; 32]);

impl Once {
    /// Names a key of a caller. One who may go further now asks for something else than before.
    pub fn new(bound: &Bound, who: &Who, key: &str) -> Self {
        let mut digest = Sha256::new();
        let mode = bound.mode.map_or("", Mode::as_str);
        for part in [bound.source.as_str(), mode, &who.person(), key] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// What became of one action that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is on disk.
    Stands {
        /// Its id.
        id: ActionId,
        /// Where it stood then.
        state: State,
        /// Whether it was known before: the alert had this pair already.
        is_known: bool,
    },
    /// The alert had this pair already, and retention has deleted the action.
    Gone,
}

/// What was asked for under a key, and what was answered.
pub(super) struct Kept {
    /// The digest of what was asked for.
    pub(super) request: [u8; 32],
    pub(super) answer: Vec<Taken>,
}

/// An answer as it is kept: id, state, whether it was known before; nothing for what is gone.
type Row = Option<(String, String, bool)>;

/// Finds what was answered under a key.
pub(super) fn find(tx: &Transaction<'_>, once: &Once) -> Result<Option<Kept>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT request, answer FROM idempotency_keys WHERE key = ?1")?;
    let found =
        statement.query_row([once.0], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
    let Some((request, answer)) = found else {
        return Ok(None);
    };
    let rows: Vec<Row> = serde_json::from_str(&answer).map_err(|error| corrupt(&error))?;
    let answer: Result<Vec<Taken>, StoreError> = rows.into_iter().map(read).collect();
    Ok(Some(Kept { request, answer: answer? }))
}

fn read(row: Row) -> Result<Taken, StoreError> {
    let Some((id, state, is_known)) = row else {
        return Ok(Taken::Gone);
    };
    let id: ActionId = id.parse().map_err(|error| corrupt(&error))?;
    let state: State = state.parse().map_err(|error| corrupt(&error))?;
    Ok(Taken::Stands { id, state, is_known })
}

fn corrupt(why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("the answer under an idempotency key: {why}"))
}

/// Keeps what is answered under a key, and forgets some of those whose time is over.
pub(super) fn keep(
    tx: &Transaction<'_>,
    once: &Once,
    request: &[u8; 32],
    answer: &[Taken],
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = |taken: &Taken| -> Row {
        match taken {
            Taken::Stands { id, state, is_known } => {
                Some((id.to_string(), state.as_str().to_owned(), *is_known))
            }
            Taken::Gone => None,
        }
    };
    let answer: Vec<Row> = answer.iter().map(row).collect();
    tx.prepare_cached("INSERT INTO idempotency_keys (key, request, at, answer) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![once.0, request, millis(now), to_json(&answer)?])?;
    tx.prepare_cached(
        "DELETE FROM idempotency_keys WHERE key IN
             (SELECT key FROM idempotency_keys WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?
    .execute(params![millis(before(now, KEPT_FOR)), FORGET_MAX])?;
    Ok(())
}
