//! Seals an action: a digest of all that its call depends on, checked whenever an unfinished action is read.
//!
//! SQLite finds damage to its structure, not to a value. A flipped bit in a machine id would stop a file on another device.

use jiff::Timestamp;
use rusqlite::{Transaction, params};
use sha2::{Digest as _, Sha256};

use crate::alert::{
    Action, ActionId, AlertId, Completion, DeliveryId, EntityPair, MachineEntity, Mode, Requested, Severity,
    SourceName, Target, millis,
};

use super::StoreError;
use super::rows::to_json;
use super::words::{self, KeptWord};

/// What a seal is about.
pub(super) struct Sealed<'a> {
    pub(super) id: ActionId,
    pub(super) source: &'a SourceName,
    pub(super) alert_id: &'a AlertId,
    /// What the alert tells; nothing in the seals of earlier schemas.
    pub(super) told: Option<Told<'a>>,
    pub(super) pair: &'a EntityPair,
    pub(super) target: Option<Target>,
    pub(super) completion: Option<&'a Completion>,
    /// What persons have said about it.
    pub(super) words: &'a [KeptWord],
    /// Who asked for it and how far it may go at most, if a caller of the API asked for it.
    pub(super) requested: Option<&'a Requested>,
    /// The action that it is another try of.
    pub(super) retry_of: Option<ActionId>,
}

/// What an alert tells beside its targets, and how it came.
pub(super) struct Told<'a> {
    pub(super) delivery_id: DeliveryId,
    pub(super) severity: Option<Severity>,
    pub(super) title: &'a str,
    pub(super) url: Option<&'a str>,
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) accepted_at: Timestamp,
}

impl Sealed<'_> {
    /// Returns the seal.
    pub(super) fn seal(&self) -> Result<[u8; 32], StoreError> {
        let mut seal = Sha256::new();
        let (machine, file) = (&self.pair.machine, &self.pair.file);
        add(&mut seal, Some(&self.id.to_string()));
        add(&mut seal, Some(self.source.as_str()));
        add(&mut seal, Some(self.alert_id.as_str()));
        add_machine(&mut seal, machine);
        add(&mut seal, Some(&to_json(&self.pair.candidates)?));
        add(&mut seal, file.sha1.map(|sha1| sha1.to_string()).as_deref());
        add(&mut seal, file.sha256.map(|sha256| sha256.to_string()).as_deref());
        add(&mut seal, file.md5.map(|md5| md5.to_string()).as_deref());
        add(&mut seal, self.target.map(|target| target.machine_id.to_string()).as_deref());
        add(&mut seal, self.target.map(|target| target.sha1.to_string()).as_deref());
        if let Some(completion) = self.completion {
            add(&mut seal, completion.machine_id.map(|id| id.to_string()).as_deref());
            add(&mut seal, completion.sha1.map(|sha1| sha1.to_string()).as_deref());
            add(&mut seal, Some(&completion.by.principal()));
            add(&mut seal, Some(&millis(completion.at).to_string()));
        }
        if let Some(told) = &self.told {
            // No completion, no word and no request begins so.
            add(&mut seal, Some("told"));
            add_told(&mut seal, told);
            add(&mut seal, file.name.as_deref());
            add(&mut seal, self.pair.found_at.machine.as_deref());
            add(&mut seal, self.pair.found_at.file.as_deref());
            add(&mut seal, self.requested.and_then(|requested| requested.note.as_deref()));
        }
        for word in self.words {
            add_word(&mut seal, word)?;
        }
        if let Some(requested) = self.requested {
            // No completion and no word begins so.
            add(&mut seal, Some("requested"));
            add(&mut seal, Some(&requested.by.principal()));
            add(&mut seal, requested.mode_max.map(Mode::as_str));
        }
        if let Some(before) = self.retry_of {
            // Nothing above begins so.
            add(&mut seal, Some("retry of"));
            add(&mut seal, Some(&before.to_string()));
        }
        Ok(seal.finalize().into())
    }
}

fn add_machine(seal: &mut Sha256, machine: &MachineEntity) {
    add(seal, machine.id.map(|id| id.to_string()).as_deref());
    add(seal, machine.aad_device_id.map(|id| id.to_string()).as_deref());
    add(seal, machine.dns_name.as_deref());
    add(seal, machine.ip.map(|ip| ip.to_string()).as_deref());
}

fn add_told(seal: &mut Sha256, told: &Told<'_>) {
    add(seal, Some(&told.delivery_id.to_string()));
    add(seal, told.severity.map(Severity::as_str));
    add(seal, Some(told.title));
    add(seal, told.url);
    add(seal, told.occurred_at.map(|at| millis(at).to_string()).as_deref());
    add(seal, Some(&millis(told.accepted_at).to_string()));
}

fn add_word(seal: &mut Sha256, word: &KeptWord) -> Result<(), StoreError> {
    // No completion begins so.
    add(seal, Some("word"));
    add(seal, Some(word.word.as_str()));
    add(seal, Some(&to_json(&word.word.holds())?));
    add(seal, Some(&word.who.principal()));
    add(seal, Some(&word.reason));
    add(seal, Some(word.via.as_str()));
    add(seal, Some(&millis(word.at).to_string()));
    if let Some(made_by) = word.via.made_by() {
        add(seal, Some(&made_by.principal()));
    }
    Ok(())
}

/// Adds a value so that no other list of values gives the same bytes.
fn add(seal: &mut Sha256, value: Option<&str>) {
    match value {
        None => seal.update([0]),
        Some(text) => {
            seal.update([1]);
            seal.update(text.len().to_be_bytes());
            seal.update(text);
        }
    }
}

/// Returns the seal of an action as it stands, with what persons have said about it.
pub(super) fn of(action: &Action, words: &[KeptWord]) -> Result<[u8; 32], StoreError> {
    sealed(action, words).seal()
}

/// Returns what is sealed of an action.
pub(super) fn sealed<'a>(action: &'a Action, words: &'a [KeptWord]) -> Sealed<'a> {
    Sealed {
        id: action.id,
        source: &action.source,
        alert_id: &action.alert_id,
        told: Some(Told {
            delivery_id: action.delivery_id,
            severity: action.severity,
            title: &action.title,
            url: action.url.as_deref(),
            occurred_at: action.occurred_at,
            accepted_at: action.accepted_at,
        }),
        pair: &action.pair,
        target: action.target,
        completion: action.completion.as_ref(),
        words,
        requested: action.requested.as_ref(),
        retry_of: action.retry_of,
    }
}

/// Refuses an unfinished action that is not what was sealed. What is over is not acted on, and may be older than seals.
pub(super) fn check(action: &Action, words: &[KeptWord], seal: Option<&[u8]>) -> Result<(), StoreError> {
    if action.state.is_final() || is_of(action, words, seal)? {
        return Ok(());
    }
    Err(broken(action))
}

/// Tells of an action that is not what was sealed.
pub(super) fn broken(action: &Action) -> StoreError {
    StoreError::Corrupt(format!("action {} is not what was written: its seal does not fit", action.id))
}

/// Says whether a seal is that of an action as it stands.
pub(super) fn is_of(action: &Action, words: &[KeptWord], seal: Option<&[u8]>) -> Result<bool, StoreError> {
    Ok(seal == Some(&of(action, words)?[..]))
}

/// Writes the seal of an action whose sealed values have just been written.
pub(super) fn write(tx: &Transaction<'_>, action: &Action) -> Result<(), StoreError> {
    let seal = of(action, &words::of(tx, action.id)?)?;
    tx.prepare_cached("UPDATE actions SET seal = ?2 WHERE id = ?1")?
        .execute(params![action.id.to_string(), seal])?;
    Ok(())
}
