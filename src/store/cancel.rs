//! Cancels an action: at once if nothing of it was sent, else as a wish that dispatch takes to Defender.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use crate::alert::{
    Action, ActionId, Advance, CancelCall, Cancellation, Change, Patch, Sharer, State, Who, Wish, comment,
    millis,
};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::rows::Columns;
use super::{Store, StoreError, advance, kept_action};

/// How many wishes take effect in one transaction.
const CANCEL_MAX: u32 = 500;

/// The wish that an action ends.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// The action.
    pub action: ActionId,
    /// Why, in one line.
    pub reason: String,
    /// Who wants it.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Nothing of it was sent, and nothing will be: it is cancelled.
    Ended,
    /// It was cancelled before.
    AlreadyEnded,
    /// It was sent, or may have been: the wish is on disk, and dispatch takes it to Defender.
    Wanted,
    /// The same is wanted already.
    AlreadyWanted,
    /// The action is over: it is in this state.
    TooLate(State),
    /// There is no such action.
    Missing,
}

impl fmt::Display for Cancelled {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("cancelled, nothing was sent"),
            Self::AlreadyEnded => f.write_str("was cancelled before"),
            Self::Wanted => f.write_str("wanted of Defender"),
            Self::AlreadyWanted => f.write_str("is wanted already"),
            Self::TooLate(state) => write!(f, "too late: {state}"),
            Self::Missing => f.write_str("no such action"),
        }
    }
}

/// What was found out about a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelNote {
    /// The action.
    pub action: ActionId,
    /// What, for a person.
    pub why: String,
    /// When Defender may be called next; `None` gives the cancellation up.
    pub next_at: Option<Timestamp>,
    /// How often in a row Defender's list did not have the machine action.
    pub unlisted: u32,
}

impl Store {
    /// Cancels what was wanted so and turned out not to be sent; returns how many actions that were.
    pub async fn apply_cancellations(&self, now: Timestamp) -> Result<usize, StoreError> {
        let ids = self.readers.read(|db| settled(db, CANCEL_MAX)).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        self.writer.write(move |tx| apply_settled(tx, &ids, now)).await
    }
}

/// Cancels an action, or records that it is wanted.
///
/// This and the recording of an intent are writes of the one writer: either the intent finds the action cancelled, or
/// this finds it `sending`.
pub(super) fn request(tx: &Transaction<'_>, cancel: &Cancel) -> Result<Cancelled, StoreError> {
    let Some(action) = kept_action::load(tx, cancel.action)? else {
        return Ok(Cancelled::Missing);
    };
    match action.state {
        State::Cancelled => Ok(Cancelled::AlreadyEnded),
        state if is_unsent(state) => {
            keep(tx, cancel, "nothing was sent", None)?;
            end(tx, &action, &cancel.who, &cancel.reason, cancel.now)?;
            Ok(Cancelled::Ended)
        }
        state if state.is_final() => Ok(Cancelled::TooLate(state)),
        _ if is_wanted(tx, cancel.action)? => Ok(Cancelled::AlreadyWanted),
        state => {
            keep(tx, cancel, "it is on disk", Some(cancel.now))?;
            look_soon(tx, cancel.action, state, cancel.now)?;
            Ok(Cancelled::Wanted)
        }
    }
}

/// Says whether nothing of an action in this state is on its way to Defender.
fn is_unsent(state: State) -> bool {
    matches!(state, State::Accepted | State::Resolving | State::Decided | State::Queued | State::Held)
}

/// Says whether somebody waits for the action to be cancelled.
pub(super) fn is_wanted(tx: &Transaction<'_>, action: ActionId) -> Result<bool, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM cancellations c JOIN actions a ON a.seq = c.action_seq
         WHERE a.id = ?1 AND c.next_at IS NOT NULL",
    )?;
    Ok(statement.exists([action.to_string()])?)
}

fn keep(
    tx: &Transaction<'_>,
    cancel: &Cancel,
    why: &str,
    next_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO cancellations (action_seq, requested_at, who, reason, why, next_at)
         SELECT seq, ?2, ?3, ?4, ?5, ?6 FROM actions WHERE id = ?1
         ON CONFLICT (action_seq) DO UPDATE SET requested_at = excluded.requested_at, who = excluded.who,
             reason = excluded.reason, why = excluded.why, next_at = excluded.next_at, tries = 0, unlisted = 0",
    )?
    .execute(params![
        cancel.action.to_string(),
        millis(cancel.now),
        cancel.who.principal(),
        cancel.reason,
        why,
        next_at.map(millis),
    ])?;
    audit::administered(
        tx,
        &Administered {
            action: Some(cancel.action),
            reason: Some(cancel.reason.clone()),
            ..Administered::new(&cancel.who, Act::CancelAction, cancel.now)
        },
    )
}

fn end(
    tx: &Transaction<'_>,
    action: &Action,
    who: &Who,
    reason: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let change = Change {
        at,
        from: Some(action.state),
        to: State::Cancelled,
        why: reason.to_owned(),
        who: who.clone(),
        facts: vec!["no call for it is at Defender or under way".to_owned()],
    };
    let advance =
        Advance { action: action.id, expected: action.state, changes: vec![change], patch: Patch::default() };
    advance::apply(tx, &advance)?;
    Ok(())
}

/// Has Defender's list looked at soon, if the action is there.
pub(super) fn look_soon(
    tx: &Transaction<'_>,
    action: ActionId,
    state: State,
    at: Timestamp,
) -> Result<(), StoreError> {
    if state == State::Submitted {
        let patch = Patch { next_at: Some(at), ..Patch::default() };
        advance::apply(tx, &Advance { action, expected: state, changes: Vec::new(), patch })?;
    }
    Ok(())
}

/// Returns the actions whose wish may take effect without Defender, or is over because they are.
pub(super) fn settled(db: &Connection, limit: u32) -> Result<Vec<ActionId>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT a.id FROM cancellations c INDEXED BY cancellations_open JOIN actions a ON a.seq = c.action_seq
         WHERE c.next_at IS NOT NULL AND a.state NOT IN ('sending', 'uncertain', 'submitted') LIMIT ?1",
    )?;
    let mut found = statement.query([limit])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(Columns(row).parsed("id")?);
    }
    Ok(ids)
}

/// Cancels those of the actions that turned out not to be sent, and closes the wishes of those that are over; returns how
/// many were cancelled.
pub(super) fn apply_settled(
    tx: &Transaction<'_>,
    ids: &[ActionId],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut ended: usize = 0;
    for id in ids {
        let wish = find(tx, *id)?.filter(|wish| wish.next_at.is_some());
        let (Some(action), Some(wish)) = (kept_action::load(tx, *id)?, wish) else {
            continue;
        };
        if is_unsent(action.state) {
            end(tx, &action, &wish.by, &wish.reason, now)?;
            ended = ended.saturating_add(1);
        } else if !action.state.is_final() {
            continue;
        }
        let why = if is_unsent(action.state) { "the call did not arrive" } else { "the action is over" };
        note(tx, &CancelNote { action: *id, why: why.to_owned(), next_at: None, unlisted: 0 })?;
    }
    Ok(ended)
}

/// Writes what was found out about a cancellation.
pub(super) fn note(tx: &Transaction<'_>, note: &CancelNote) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE cancellations SET why = ?2, next_at = ?3, unlisted = ?4
         WHERE action_seq = (SELECT seq FROM actions WHERE id = ?1)",
    )?
    .execute(params![note.action.to_string(), note.why, note.next_at.map(millis), note.unlisted])?;
    Ok(())
}

/// Returns the cancellation of an action.
pub(super) fn find(db: &Connection, action: ActionId) -> Result<Option<Cancellation>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT c.* FROM cancellations c JOIN actions a ON a.seq = c.action_seq WHERE a.id = ?1",
    )?;
    let mut found = statement.query([action.to_string()])?;
    found.next()?.map(cancellation).transpose()
}

/// Returns those of the actions that have a cancellation, each with the others that share its machine action.
pub(super) fn wishes(db: &Connection, actions: &[ActionId]) -> Result<Vec<Wish>, StoreError> {
    let mut wishes = Vec::new();
    for action in actions {
        if let Some(cancellation) = find(db, *action)? {
            wishes.push(Wish { action: *action, cancellation, sharers: sharers(db, *action)? });
        }
    }
    Ok(wishes)
}

/// Returns the other actions with the same machine action.
pub(super) fn sharers(db: &Connection, action: ActionId) -> Result<Vec<Sharer>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT b.id, b.state, l.alert_id, b.retry_of, c.next_at FROM actions a
         JOIN actions b ON b.machine_action_id = a.machine_action_id AND b.seq <> a.seq
         JOIN alerts l ON l.seq = b.alert_seq LEFT JOIN cancellations c ON c.action_seq = b.seq
         WHERE a.id = ?1",
    )?;
    let mut found = statement.query([action.to_string()])?;
    let mut sharers = Vec::new();
    while let Some(row) = found.next()? {
        let columns = Columns(row);
        let state: State = columns.parsed("state")?;
        let is_wanted = columns.maybe_time("next_at")?.is_some();
        sharers.push(Sharer {
            action: columns.parsed("id")?,
            comment: comment(&columns.parsed("alert_id")?, columns.maybe("retry_of")?),
            still_wants_it: !state.is_final() && !is_wanted,
        });
    }
    Ok(sharers)
}

fn cancellation(row: &Row<'_>) -> Result<Cancellation, StoreError> {
    let columns = Columns(row);
    let last_call = match columns.maybe_time("called_at")? {
        None => None,
        Some(at) => Some(CancelCall {
            at,
            ended_at: columns.maybe_time("ended_at")?,
            outcome: columns.raw("outcome")?,
            http_status: columns.raw("http_status")?,
            code: columns.raw("code")?,
            message: columns.raw("message")?,
            correlation_id: columns.raw("correlation_id")?,
        }),
    };
    Ok(Cancellation {
        requested_at: columns.time("requested_at")?,
        by: columns.parsed("who")?,
        reason: columns.raw("reason")?,
        why: columns.raw("why")?,
        next_at: columns.maybe_time("next_at")?,
        calls: columns.raw("calls")?,
        tries: columns.raw("tries")?,
        unlisted: columns.raw("unlisted")?,
        last_call,
    })
}
