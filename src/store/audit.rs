//! Writes entries of the audit, each in the transaction of what it is about, and reads them.
//!
//! What is not in the audit has not happened: if the entry cannot be written, neither is the intent, and no call leaves.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::alert::{ActionId, Advance, Change, Refusal, State, Who, from_millis, millis};
use crate::audit::{
    Act, Administration, Answered, Chain, Checkpoint, Configuration, Deed, Digest, Entry, Move,
    SignedCheckpoint, SigningKey, Subject, Verified, Verifier, Wrong,
};
use crate::policy::Policy;

use super::marks::Mark;
use super::rows::{Columns, unsigned};
use super::{Options, Store, StoreError, connection};

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place.
    pub seq: u64,
    /// The text that stands for it.
    pub text: String,
    /// Its digest.
    pub digest: Digest,
}

/// Where the audit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// How many entries it has.
    pub entries: u64,
    /// The digest of the last.
    pub digest: Digest,
    /// When the last checkpoint was made.
    pub checkpoint_at: Option<Timestamp>,
}

/// Something that a person did, to be recorded.
#[derive(Debug, Clone)]
pub(super) struct Administered<'a> {
    /// Who.
    pub(super) who: &'a Who,
    /// What.
    pub(super) act: Act,
    /// The action that it was done to, if it was one.
    pub(super) action: Option<ActionId>,
    /// What else it was done to: the id of a delivery, of a token.
    pub(super) to: Option<String>,
    /// Why, in the person's words.
    pub(super) reason: Option<String>,
    /// How it was before.
    pub(super) before: Option<String>,
    /// How it was after.
    pub(super) after: Option<String>,
    /// Now.
    pub(super) now: Timestamp,
}

impl<'a> Administered<'a> {
    /// Something that was done to nothing in particular, for no reason that was told.
    pub(super) fn new(who: &'a Who, act: Act, now: Timestamp) -> Self {
        Self { who, act, action: None, to: None, reason: None, before: None, after: None, now }
    }
}

/// Records what a person did, in the transaction that does it.
pub(super) fn administered(tx: &Transaction<'_>, done: &Administered<'_>) -> Result<(), StoreError> {
    let administration = Administration {
        act: done.act,
        to: done.to.clone(),
        reason: done.reason.clone(),
        before: done.before.clone(),
        after: done.after.clone(),
    };
    let subject = done.action.map(|id| subject(tx, id)).transpose()?.flatten();
    append(tx, done.now, done.who, subject, Deed::Administration(administration))
}

/// Records moves of an action. A look for its device or file is none that is recorded: nothing is decided by it.
pub(super) fn moved(tx: &Transaction<'_>, advance: &Advance) -> Result<(), StoreError> {
    let is_search = |change: &Change| change.to == State::Resolving;
    match advance.changes.last() {
        Some(last) if !advance.changes.iter().all(is_search) => {
            let deed = Deed::Change { moves: moves(advance) };
            about(tx, advance.action, last.at, &last.who, deed)
        }
        _ => Ok(()),
    }
}

/// Records a decision of policy.
pub(super) fn decided(
    tx: &Transaction<'_>,
    advance: &Advance,
    policy: Option<&Policy>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let deed = Deed::Decision { policy: policy.map(version), moves: moves(advance) };
    about(tx, advance.action, now, &Who::Bridge, deed)
}

/// Returns the digest by which the audit names a policy.
pub(super) fn version(policy: &Policy) -> Digest {
    Digest::from_bytes(policy.version())
}

/// Records what is about an action.
pub(super) fn about(
    tx: &Transaction<'_>,
    action: ActionId,
    at: Timestamp,
    who: &Who,
    deed: Deed,
) -> Result<(), StoreError> {
    append(tx, at, who, subject(tx, action)?, deed)
}

/// Returns the moves of an action as the audit has them.
pub(super) fn moves(advance: &Advance) -> Vec<Move> {
    let of = |change: &Change| Move {
        from: change.from.map(|state| state.to_string()),
        to: change.to.to_string(),
        who: change.who.to_string(),
        why: change.why.clone(),
        facts: change.facts.clone(),
    };
    advance.changes.iter().map(of).collect()
}

/// Returns what is known of an answer of Defender as the audit has it.
pub(super) fn answered(
    outcome: &str,
    http_status: Option<u16>,
    message: Option<&str>,
    refusal: Option<&Refusal>,
) -> Answered {
    Answered {
        outcome: outcome.to_owned(),
        http_status,
        code: refusal.map(|refusal| refusal.code.clone()).filter(|code| !code.is_empty()),
        message: message.filter(|message| !message.is_empty()).map(ToOwned::to_owned),
        correlation_id: refusal.and_then(|refusal| refusal.correlation_id.clone()),
    }
}

fn subject(tx: &Transaction<'_>, action: ActionId) -> Result<Option<Subject>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT a.id, a.delivery_id, a.source, l.alert_id, d.body_sha256, d.key_id, a.machine_id, a.sha1,
             a.machine_action_id
         FROM actions a JOIN alerts l ON l.seq = a.alert_seq LEFT JOIN deliveries d ON d.id = a.delivery_id
         WHERE a.id = ?1",
    )?;
    let found = statement.query_row([action.to_string()], |row| {
        Ok(Subject {
            action: row.get(0)?,
            delivery: row.get(1)?,
            source: row.get(2)?,
            alert_id: row.get(3)?,
            alert_sha256: row.get::<_, Option<[u8; 32]>>(4)?.map(Digest::from_bytes),
            key_id: row.get(5)?,
            machine_id: row.get(6)?,
            sha1: row.get(7)?,
            machine_action: row.get(8)?,
        })
    });
    Ok(found.optional()?)
}

/// Writes the next entry. The last one is read each time: another process may have written it.
fn append(
    tx: &Transaction<'_>,
    at: Timestamp,
    who: &Who,
    subject: Option<Subject>,
    deed: Deed,
) -> Result<(), StoreError> {
    let chain = head(tx)?;
    let (token, principal) =
        (who.token().map(ToOwned::to_owned), who.principal_id().map(ToString::to_string));
    let (seq, who) = (chain.next_seq(), who.to_string());
    let entry = Entry { seq, at: millis(at), who, token, principal, subject, deed };
    let text = entry.text().map_err(|error| StoreError::Statement(error.to_string()))?;
    let digest = chain.digest_of(text.as_bytes());
    tx.prepare_cached("INSERT INTO audit (seq, entry, hash) VALUES (?1, ?2, ?3)")?.execute(params![
        place(entry.seq),
        text,
        digest.as_bytes()
    ])?;
    Ok(())
}

fn head(db: &Connection) -> Result<Chain, StoreError> {
    let mut statement = db.prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?;
    let last = statement.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)));
    Ok(match last.optional()? {
        Some((seq, hash)) => Chain::at(unsigned(seq), Digest::from_bytes(hash)),
        None => Chain::default(),
    })
}

fn place(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl Store {
    /// Records a configuration that was read.
    pub async fn record_configuration(&self, read: Configuration, now: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |tx| append(tx, now, &Who::Bridge, None, Deed::Configuration(read))).await
    }

    /// Signs the audit as it stands and records that; returns the signed checkpoint.
    pub async fn sign_audit(&self, key: Arc<SigningKey>, now: Timestamp) -> Result<String, StoreError> {
        self.writer.write(move |tx| sign(tx, &key, now)).await
    }

    /// Returns where the audit stands.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.readers.read(audit_head).await
    }

    /// Returns up to which entry a collector was told of traces; `None` if it never was.
    pub async fn traced(&self) -> Result<Option<u64>, StoreError> {
        self.readers.read(|db| Ok(Mark::TracedTo.read(db)?.map(unsigned))).await
    }

    /// Keeps up to which entry a collector was told of traces.
    pub async fn traced_to(&self, seq: u64) -> Result<(), StoreError> {
        self.writer.write(move |tx| Mark::TracedTo.write(tx, place(seq))).await
    }

    /// Returns entries after this place, the oldest first.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.readers.read(move |db| page(db, after, limit)).await
    }
}

/// Records a restore from a backup.
pub(super) fn restored(tx: &Transaction<'_>, backup_at: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    append(tx, now, &Who::Bridge, None, Deed::Restore { backup_at: millis(backup_at) })
}

fn audit_head(db: &Connection) -> Result<AuditHead, StoreError> {
    let chain = head(db)?;
    let checkpoint_at = last_checkpoint(db)?.map(|entry| from_millis(entry.at));
    Ok(AuditHead { entries: chain.seq(), digest: chain.head(), checkpoint_at })
}

/// Returns when the last entry was written, if there is one.
pub(super) fn last_at(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = db.prepare_cached("SELECT entry FROM audit ORDER BY seq DESC LIMIT 1")?;
    let text: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
    let read = |text: String| {
        let entry = Entry::read(text.as_bytes());
        entry.map(|entry| from_millis(entry.at)).map_err(|error| StoreError::Corrupt(error.to_string()))
    };
    text.map(read).transpose()
}

/// Returns the entry of the last checkpoint.
fn last_checkpoint(db: &Connection) -> Result<Option<Entry>, StoreError> {
    let Some(seq) = Mark::AuditCheckpoint.read(db)? else {
        return Ok(None);
    };
    let row = page(db, unsigned(seq).saturating_sub(1), 1)?.pop();
    let read = |row: AuditRow| Entry::read(row.text.as_bytes()).map_err(|error| unreadable(row.seq, &error));
    row.map(read).transpose()
}

fn unreadable(seq: u64, why: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("entry {seq} of the audit: {why}"))
}

fn sign(tx: &Transaction<'_>, key: &SigningKey, now: Timestamp) -> Result<String, StoreError> {
    let chain = head(tx)?;
    let previous = last_checkpoint(tx)?.and_then(|entry| match entry.deed {
        Deed::Checkpoint { signed } => Some(Digest::of(signed.as_bytes())),
        _ => None,
    });
    let checkpoint = Checkpoint {
        seq: chain.seq(),
        hash: chain.head(),
        at: millis(now),
        previous,
        key: key.public().id(),
    };
    let text = checkpoint.sign(key).and_then(|signed: SignedCheckpoint| signed.text());
    let text = text.map_err(|error| StoreError::Statement(error.to_string()))?;
    append(tx, now, &Who::Bridge, None, Deed::Checkpoint { signed: text.clone() })?;
    Mark::AuditCheckpoint.write(tx, place(chain.next_seq()))?;
    Ok(text)
}

/// Returns entries after this place, the oldest first.
pub(super) fn page(db: &Connection, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT seq, entry, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![place(after), limit])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        page.push(AuditRow {
            seq: unsigned(columns.raw("seq")?),
            text: columns.raw("entry")?,
            digest: Digest::from_bytes(columns.raw("hash")?),
        });
    }
    Ok(page)
}

/// Reads entries of a database that a service may be using.
pub fn read_audit(options: &Options, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    page(&connection::open_to_read(&options.path)?, after, limit)
}

/// Follows the audit of a database that a service may be using, from its first entry.
pub fn verify_audit(options: &Options, verifier: Verifier) -> Result<Result<Verified, Wrong>, StoreError> {
    verify(&connection::open_to_read(&options.path)?, verifier)
}

fn verify(db: &Connection, mut verifier: Verifier) -> Result<Result<Verified, Wrong>, StoreError> {
    let mut statement = db.prepare("SELECT seq, entry, hash FROM audit ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(wrong) = follow(&mut verifier, row)? {
            return Ok(Err(wrong));
        }
    }
    Ok(verifier.finish())
}

/// What stands in a column need not be of its type: damage may have changed that too.
fn follow(verifier: &mut Verifier, row: &Row<'_>) -> Result<Result<Entry, Wrong>, StoreError> {
    let place = row.get_ref(0)?.as_i64().ok().and_then(|seq| u64::try_from(seq).ok());
    let text = row.get_ref(1)?.as_bytes().unwrap_or_default();
    let hash = row.get_ref(2)?.as_bytes().unwrap_or_default();
    let digest = <[u8; 32]>::try_from(hash).ok().map(Digest::from_bytes);
    Ok(verifier.follow_row(place, text, digest))
}

/// Signs the audit of a database that a service may be using.
pub fn sign_audit(options: &Options, key: &SigningKey, now: Timestamp) -> Result<String, StoreError> {
    connection::write_beside(&options.path, |tx| sign(tx, key, now))
}
