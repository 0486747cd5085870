//! How a database stands at a glance, and one action of it, read beside whoever serves it. Nothing is written, and no lock is taken.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use crate::alert::{ActionId, Api, SourceName, millis};

use super::blast_breaker::{self, BlastBreaker};
use super::read::{self, ActionRecord};
use super::switch::{self, KillSwitch};
use super::{Options, StoreError, connection, tokens, work};

/// How many tokens are read at once.
const PAGE: u32 = 1_000;

/// How a database stands.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Its schema.
    pub schema: i64,
    /// How many actions are in each state.
    pub states: BTreeMap<String, u64>,
    /// When each source last brought an action, if it ever has.
    pub last_actions: BTreeMap<SourceName, Option<Timestamp>>,
    /// How many calls of each part of Defender's API were made since the time that was asked for.
    pub calls: BTreeMap<Api, u32>,
    /// Since when the oldest unknown outcome is unknown.
    pub uncertain_since: Option<Timestamp>,
    /// How the kill switch stands.
    pub kill_switch: KillSwitch,
    /// How the breaker on blast radius stands.
    pub blast_breaker: BlastBreaker,
    /// The tokens of the API that end between the two times that were asked for: name and end.
    pub ending_tokens: Vec<(String, Timestamp)>,
}

/// Reads how a database stands: calls since `since`, tokens that end from `now` to `until`.
pub fn survey(
    options: &Options,
    sources: &[SourceName],
    (since, now, until): (Timestamp, Timestamp, Timestamp),
) -> Result<Survey, StoreError> {
    let db = connection::open_to_read(&options.path)?;
    let last = |source: &SourceName| Ok((source.clone(), read::last_action_at(&db, source)?));
    Ok(Survey {
        schema: db.pragma_query_value(None, "user_version", |row| row.get(0))?,
        states: states(&db)?,
        last_actions: sources.iter().map(last).collect::<Result<_, StoreError>>()?,
        calls: calls(&db, since)?,
        uncertain_since: work::uncertain_since(&db)?,
        kill_switch: switch::read(&db)?,
        blast_breaker: blast_breaker::read(&db)?,
        ending_tokens: ending_tokens(&db, (now, until))?,
    })
}

/// Reads one action.
pub fn action_beside(options: &Options, id: ActionId) -> Result<Option<ActionRecord>, StoreError> {
    read::action(&connection::open_to_read(&options.path)?, id)
}

fn states(db: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut statement =
        db.prepare("SELECT state, count(*) FROM actions INDEXED BY actions_by_state GROUP BY state")?;
    let count = |row: &Row<'_>| Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()));
    let counts = statement.query_map([], count)?;
    Ok(counts.collect::<Result<_, _>>()?)
}

fn calls(db: &Connection, since: Timestamp) -> Result<BTreeMap<Api, u32>, StoreError> {
    let mut statement = db.prepare("SELECT count(*) FROM calls WHERE api = ?1 AND at > ?2")?;
    let mut count = |api: Api| {
        let count = statement.query_row((api.as_str(), millis(since)), |row| row.get(0))?;
        Ok((api, count))
    };
    Api::ALL.into_iter().map(&mut count).collect()
}

fn ending_tokens(
    db: &Connection,
    (now, until): (Timestamp, Timestamp),
) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let mut ending = Vec::new();
    let mut place: Option<String> = None;
    loop {
        let page = tokens::page(db, place.as_deref(), PAGE)?;
        let Some(last) = page.last() else {
            return Ok(ending);
        };
        place = Some(last.id.clone());
        let ends =
            page.iter().filter(|token| token.revoked.is_none() && (now..until).contains(&token.expires_at));
        ending.extend(ends.map(|token| (token.name.clone(), token.expires_at)));
    }
}
