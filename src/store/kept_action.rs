//! One action as it is kept, with its alert and what persons have said. An unfinished one must be what was sealed.

use rusqlite::{Row, Transaction};

use crate::alert::{
    Action, ActionId, Change, Completion, EntityPair, FileEntity, FoundAt, MachineActionRef, MachineEntity,
    Requested, Target,
};

use super::StoreError;
use super::rows::Columns;
use super::seal;
use super::words::{self, KeptWord, Word};

/// The columns of an action, for [`read`], of [`ACTIONS`].
///
/// The state is read by a query of its own: SQLite takes a column that the condition of a partial index fixes from that
/// condition, and a damaged index would have any row in any state.
pub(super) const ACTION: &str = "a.seq, a.id, a.delivery_id, a.source, l.alert_id, l.severity, l.title, l.url,
    l.occurred_at, a.given_machine_id, a.given_aad_device_id, a.given_dns_name, a.given_ip, a.candidates,
    a.machine_found_at, a.given_sha1, a.given_sha256, a.given_md5, a.given_file_name, a.file_found_at, a.machine_id, a.sha1, a.accepted_at,
    (SELECT s.state FROM actions s WHERE s.seq = a.seq) AS state, a.changed_at, a.expires_at,
    a.attempts, a.machine_action_id, a.machine_action_status, a.machine_action_since, a.intent_at,
    a.first_intent_at, a.empty_reads, a.empty_read_at, a.held_reason, a.completed_machine_id, a.completed_sha1,
    a.completed_by, a.completed_at, a.requested_by, a.mode_max, a.note, a.retry_of, a.superseded_by_id, a.superseded_by_requestor,
    a.superseded_by_status, a.seal,
    (SELECT json_group_array(json_array(p.word, p.who, p.guards, p.reason, p.via, p.at, p.link_made_by) ORDER BY p.seq)
     FROM approvals p WHERE p.action_seq = a.seq) AS words";

/// Every action with its alert.
pub(super) const ACTIONS: &str = "actions a JOIN alerts l ON l.seq = a.alert_seq";

/// Returns an action.
pub(super) fn load(tx: &Transaction<'_>, id: ActionId) -> Result<Option<Action>, StoreError> {
    let mut statement = tx.prepare_cached(&format!("SELECT {ACTION} FROM {ACTIONS} WHERE a.id = ?1"))?;
    let mut found = statement.query([id.to_string()])?;
    let Some(action) = found.next()?.map(read).transpose()? else {
        return Ok(None);
    };
    // A damaged index would answer with another row.
    if action.id == id {
        return Ok(Some(action));
    }
    Err(StoreError::Corrupt(format!("action {} stands in the place of {id}", action.id)))
}

/// Reads the columns of [`ACTION`]. An unfinished action must be what was sealed.
pub(super) fn read(row: &Row<'_>) -> Result<Action, StoreError> {
    let (action, words) = read_unchecked(row)?;
    seal::check(&action, &words, Columns(row).raw::<Option<Vec<u8>>>("seal")?.as_deref())?;
    Ok(action)
}

/// Reads the columns of [`ACTION`], and what persons have said, of an action whose seal is not looked at.
pub(super) fn read_unchecked(row: &Row<'_>) -> Result<(Action, Vec<KeptWord>), StoreError> {
    let columns = Columns(row);
    let words = words::of_row(&columns)?;
    let approving = words.iter().filter(|word| word.word != Word::Deny);
    let machine_id = columns.maybe("machine_id")?;
    let target = machine_id.zip(columns.maybe("sha1")?);
    let action = Action {
        id: columns.parsed("id")?,
        delivery_id: columns.parsed("delivery_id")?,
        source: columns.parsed("source")?,
        alert_id: columns.parsed("alert_id")?,
        severity: columns.maybe("severity")?,
        title: columns.raw("title")?,
        url: columns.raw("url")?,
        occurred_at: columns.maybe_time("occurred_at")?,
        pair: pair(&columns)?,
        target: target.map(|(machine_id, sha1)| Target { machine_id, sha1 }),
        requested: requested(&columns)?,
        retry_of: columns.maybe("retry_of")?,
        completion: completion(&columns)?,
        approved_at: approving.map(|word| word.at).max(),
        held_reason: columns.maybe("held_reason")?,
        accepted_at: columns.time("accepted_at")?,
        state: columns.parsed("state")?,
        changed_at: columns.time("changed_at")?,
        expires_at: columns.maybe_time("expires_at")?,
        attempts: columns.raw("attempts")?,
        machine_action: machine_action(&columns)?,
    };
    Ok((action, words))
}

fn pair(columns: &Columns<'_, '_>) -> Result<EntityPair, StoreError> {
    Ok(EntityPair {
        machine: MachineEntity {
            id: columns.maybe("given_machine_id")?,
            aad_device_id: columns.maybe("given_aad_device_id")?,
            dns_name: columns.raw("given_dns_name")?,
            ip: columns.maybe("given_ip")?,
        },
        file: FileEntity {
            sha1: columns.maybe("given_sha1")?,
            sha256: columns.maybe("given_sha256")?,
            md5: columns.maybe("given_md5")?,
            name: columns.raw("given_file_name")?,
        },
        candidates: columns.json("candidates")?,
        found_at: FoundAt { machine: columns.raw("machine_found_at")?, file: columns.raw("file_found_at")? },
    })
}

fn requested(columns: &Columns<'_, '_>) -> Result<Option<Requested>, StoreError> {
    let Some(by) = columns.maybe("requested_by")? else {
        return Ok(None);
    };
    Ok(Some(Requested { by, mode_max: columns.maybe("mode_max")?, note: columns.raw("note")? }))
}

fn completion(columns: &Columns<'_, '_>) -> Result<Option<Completion>, StoreError> {
    let Some(by) = columns.maybe("completed_by")? else {
        return Ok(None);
    };
    Ok(Some(Completion {
        machine_id: columns.maybe("completed_machine_id")?,
        sha1: columns.maybe("completed_sha1")?,
        by,
        at: columns.time("completed_at")?,
    }))
}

fn machine_action(columns: &Columns<'_, '_>) -> Result<Option<MachineActionRef>, StoreError> {
    let Some(id) = columns.maybe("machine_action_id")? else {
        return Ok(None);
    };
    let status = columns.raw("machine_action_status")?;
    Ok(Some(MachineActionRef { id, status, since: columns.time("machine_action_since")? }))
}

/// Reads a row of `history`.
pub(super) fn change(row: &Row<'_>) -> Result<Change, StoreError> {
    let columns = Columns(row);
    Ok(Change {
        at: columns.time("at")?,
        from: columns.maybe("from_state")?,
        to: columns.parsed("to_state")?,
        why: columns.raw("why")?,
        who: columns.parsed("who")?,
        facts: columns.json("facts")?,
    })
}
