//! Seals anew what an earlier schema left unfinished, when a database is brought up to date.

use rusqlite::Transaction;

use crate::alert::{Action, State};

use super::StoreError;
use super::kept_action::{self, ACTION, ACTIONS};
use super::rows::Columns;
use super::seal::{self, Sealed};
use super::words::KeptWord;

/// The schema since which every unfinished action has a seal.
const SINCE_SCHEMA: i64 = 8;

/// The schema since which the seal covers what persons have said.
const WITH_WORDS_SINCE_SCHEMA: i64 = 15;

/// The schema since which the seal covers what the alert tells.
const WITH_ALERT_SINCE_SCHEMA: i64 = 20;

/// Seals what an earlier schema left unfinished. What that had sealed is looked at a last time.
pub(super) fn seal_unfinished(tx: &Transaction<'_>, found_schema: i64) -> Result<(), StoreError> {
    if found_schema >= WITH_ALERT_SINCE_SCHEMA {
        return Ok(());
    }
    let mut statement = tx.prepare(&format!("SELECT {ACTION} FROM {ACTIONS} WHERE a.state = ?1"))?;
    for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
        let mut found = statement.query([state.as_str()])?;
        let mut actions = Vec::new();
        while let Some(row) = found.next()? {
            let (action, words) = kept_action::read_unchecked(row)?;
            let seal = Columns(row).raw::<Option<Vec<u8>>>("seal")?;
            if found_schema >= SINCE_SCHEMA && seal != Some(earlier(&action, &words, found_schema)?.to_vec())
            {
                return Err(seal::broken(&action));
            }
            actions.push(action);
        }
        for action in actions {
            seal::write(tx, &action)?;
        }
    }
    Ok(())
}

/// Returns the seal as an earlier schema made it.
fn earlier(action: &Action, words: &[KeptWord], schema: i64) -> Result<[u8; 32], StoreError> {
    let words = if schema >= WITH_WORDS_SINCE_SCHEMA { words } else { &[] };
    Sealed { told: None, ..seal::sealed(action, words) }.seal()
}
