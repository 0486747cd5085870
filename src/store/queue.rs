//! The queue as dispatch reads it: the beginning of each of its orders, how many wait, and who is before whom.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::alert::{Action, ActionId, MachineId, State, millis};

use super::StoreError;
use super::kept_action::{ACTION, ACTIONS};
use super::work::action_in;

/// The mildest rank of high and critical.
const URGENT_RANK: u8 = 3;

/// How many older actions are counted at most to tell an action's place.
const PLACE_MAX: i64 = 100_000;

/// Queued actions that may be sent now, of each machine at most one a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sendable {
    /// High and critical, the most severe and then oldest first.
    pub urgent: Vec<Action>,
    /// The others, the most severe and then oldest first.
    pub others: Vec<Action>,
    /// All, the oldest first.
    pub longest: Vec<Action>,
}

/// How many actions of each severity wait, by rank from the mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Those that are queued.
    pub queued: [u32; 5],
    /// Those that are being looked up or were not decided yet.
    pub coming: [u32; 5],
}

/// Returns the beginnings of the queue; machines to which a call is under way or unsettled are passed over.
///
/// An order is an index that holds all that is asked of an action, so a row that is passed over costs a step in it.
pub(super) fn sendable(
    db: &Connection,
    now: Timestamp,
    limit: usize,
    calling: &HashSet<MachineId>,
) -> Result<Sendable, StoreError> {
    let mut busy: HashSet<String> = calling.iter().map(ToString::to_string).collect();
    let mut statement =
        db.prepare_cached("SELECT machine_id FROM actions WHERE state IN ('sending', 'uncertain')")?;
    for machine_id in statement.query_map([], |row| row.get::<_, String>(0))? {
        busy.insert(machine_id?);
    }
    let by_urgency = |ranks: &str| {
        format!(
            "SELECT seq, machine_id FROM actions INDEXED BY actions_queue
             WHERE state = 'queued' AND severity_rank {ranks} {URGENT_RANK} AND next_at <= ?1
             ORDER BY severity_rank DESC, accepted_at, seq"
        )
    };
    let by_age = "SELECT seq, machine_id FROM actions INDEXED BY actions_waiting
                  WHERE state = 'queued' AND next_at <= ?1 ORDER BY accepted_at, seq";
    let first = |order: &str| first(db, order, now, limit, busy.clone());
    Ok(Sendable {
        urgent: first(&by_urgency(">="))?,
        others: first(&by_urgency("<"))?,
        longest: first(by_age)?,
    })
}

/// Returns the first actions of an order, one a machine.
fn first(
    db: &Connection,
    order: &str,
    now: Timestamp,
    limit: usize,
    mut busy: HashSet<String>,
) -> Result<Vec<Action>, StoreError> {
    let mut statement = db.prepare_cached(order)?;
    let mut found = statement.query([millis(now)])?;
    let mut actions = Vec::with_capacity(limit);
    while actions.len() < limit
        && let Some(row) = found.next()?
    {
        let machine_id: Option<String> = row.get(1)?;
        if machine_id.is_none_or(|machine_id| busy.insert(machine_id)) {
            actions.push(by_seq(db, row.get(0)?)?);
        }
    }
    Ok(actions)
}

fn by_seq(db: &Connection, seq: i64) -> Result<Action, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT {ACTION} FROM {ACTIONS} WHERE a.seq = ?1"))?;
    let mut found = statement.query([seq])?;
    let row = found.next()?.ok_or_else(|| StoreError::Corrupt("a queued action has no alert".to_owned()))?;
    action_in(State::Queued, row)
}

/// Counts what waits.
pub(super) fn waiting(db: &Connection) -> Result<Waiting, StoreError> {
    let mut waiting = Waiting::default();
    let orders = [
        (State::Queued, "actions_queue"),
        (State::Resolving, "actions_resolving"),
        (State::Accepted, "actions_undecided"),
    ];
    for (state, index) in orders {
        let mut statement = db.prepare_cached(&format!(
            "SELECT severity_rank, count(*) FROM actions INDEXED BY {index} WHERE state = '{state}'
             GROUP BY severity_rank"
        ))?;
        let mut found = statement.query([])?;
        let numbers = if state == State::Queued { &mut waiting.queued } else { &mut waiting.coming };
        while let Some(row) = found.next()? {
            let (rank, count): (u8, u32) = (row.get(0)?, row.get(1)?);
            if let Some(number) = numbers.get_mut(usize::from(rank)) {
                *number = number.saturating_add(count);
            }
        }
    }
    Ok(waiting)
}

/// Returns how many queued actions of its severity are older than a queued action; `None` if it is not queued.
pub(super) fn older(db: &Connection, id: ActionId) -> Result<Option<u32>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, severity_rank, accepted_at FROM actions WHERE id = ?1 AND state = 'queued'",
    )?;
    let found = statement
        .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((seq, rank, accepted_at)): Option<(i64, u8, i64)> = found else {
        return Ok(None);
    };
    let mut statement = db.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM actions INDEXED BY actions_queue
             WHERE state = 'queued' AND severity_rank = ?1 AND (accepted_at, seq) < (?2, ?3) LIMIT ?4)",
    )?;
    Ok(Some(statement.query_row(params![rank, accepted_at, seq, PLACE_MAX], |row| row.get(0))?))
}
