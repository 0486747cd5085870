//! Who has a part in an action, and so may not decide about it: four eyes are two persons'.

use rusqlite::Transaction;

use crate::alert::{Action, ActionId, Who};

use super::rows::Columns;
use super::{StoreError, kept_action};

/// Says whether a person has brought the action about, or has made a link by which another one may decide about it.
pub(super) fn has_part(tx: &Transaction<'_>, action: &Action, who: &Who) -> Result<bool, StoreError> {
    let has_made_a_link = makers(tx, action.id)?.iter().any(|maker| maker.may_be(who));
    Ok(has_made_a_link || brought_about(tx, action, who)?)
}

/// Says whether a person has brought the action about: as its source, by asking for it, by having its delivery read again,
/// by saying which device or file it means, or any of these of the action that it is another try of. Only whoever was let in at
/// the API is a person.
pub(super) fn brought_about(tx: &Transaction<'_>, action: &Action, who: &Who) -> Result<bool, StoreError> {
    if !who.is_caller() || who.is_namesake(action.source.as_str()) {
        return Ok(true);
    }
    let completed_by = action.completion.as_ref().map(|completion| completion.by.clone());
    let requested_by = action.requested.as_ref().map(|requested| requested.by.clone());
    let mut others = movers(tx, action.id)?.into_iter().chain(completed_by).chain(requested_by);
    if others.any(|other| other.may_be(who)) {
        return Ok(true);
    }
    match action.retry_of.map(|before| kept_action::load(tx, before)).transpose()?.flatten() {
        Some(before) => brought_about(tx, &before, who),
        None => Ok(false),
    }
}

/// Returns whoever has moved an action otherwise than by a word about its holds.
fn movers(tx: &Transaction<'_>, action: ActionId) -> Result<Vec<Who>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT h.who FROM actions a JOIN history h ON h.action_seq = a.seq
         WHERE a.id = ?1 AND NOT EXISTS (
             SELECT 1 FROM approvals p WHERE p.action_seq = a.seq AND p.who = h.who AND p.at = h.at)",
    )?;
    let mut found = statement.query([action.to_string()])?;
    let mut movers = Vec::new();
    while let Some(row) = found.next()? {
        movers.push(Columns(row).parsed("who")?);
    }
    Ok(movers)
}

/// Returns whoever has made a link for an action.
fn makers(tx: &Transaction<'_>, action: ActionId) -> Result<Vec<Who>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT l.made_by FROM links l JOIN actions a ON a.seq = l.action_seq WHERE a.id = ?1",
    )?;
    let mut found = statement.query([action.to_string()])?;
    let mut makers = Vec::new();
    while let Some(row) = found.next()? {
        makers.push(Columns(row).parsed("made_by")?);
    }
    Ok(makers)
}
