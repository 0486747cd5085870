//! Writes one new action and the first row of its history.

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::alert::{ActionId, Alert, EntityPair, Mode, Severity, State, Who, millis};

use super::StoreError;
use super::batch::Batch;
use super::known_pair;
use super::rows::{Columns, to_json};
use super::seal::{Sealed, Told};

/// An action that is not on disk yet.
pub(super) struct NewAction<'a> {
    pub(super) id: ActionId,
    pub(super) alert_seq: i64,
    pub(super) batch: &'a Batch<'a>,
    /// The alert as its first delivery told it.
    pub(super) alert: &'a Alert,
    pub(super) pair: &'a EntityPair,
    /// The action that it is another try of.
    pub(super) retry_of: Option<ActionId>,
}

impl NewAction<'_> {
    /// Writes the action; returns its row unless the alert had this pair already.
    pub(super) fn keep(&self, tx: &Transaction<'_>) -> Result<Option<i64>, StoreError> {
        let (machine, file) = (&self.pair.machine, &self.pair.file);
        let requested = self.batch.requested;
        let mut statement = tx.prepare_cached(
            "INSERT INTO actions (id, alert_seq, delivery_id, source, pair_key, given_machine_id, given_aad_device_id,
                 given_dns_name, given_ip, candidates, given_sha1, given_sha256, given_md5, given_file_name,
                 machine_found_at, file_found_at, severity_rank, accepted_at, state, changed_at, seal,
                 requested_by, mode_max, note, retry_of)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, 'accepted', ?18,
                 ?19, ?20, ?21, ?22, ?23)
             ON CONFLICT (alert_seq, pair_key) DO NOTHING RETURNING seq",
        )?;
        let seq = statement.query_row(
            params![
                self.id.to_string(),
                self.alert_seq,
                self.batch.delivery_id.to_string(),
                self.batch.source.as_str(),
                self.pair_key(),
                machine.id.map(|id| id.to_string()),
                machine.aad_device_id.map(|id| id.to_string()),
                machine.dns_name,
                machine.ip.map(|ip| ip.to_string()),
                to_json(&self.pair.candidates)?,
                file.sha1.map(|sha1| sha1.to_string()),
                file.sha256.map(|sha256| sha256.to_string()),
                file.md5.map(|md5| md5.to_string()),
                file.name,
                self.pair.found_at.machine,
                self.pair.found_at.file,
                self.alert.severity.map_or(0, Severity::rank),
                millis(self.batch.now),
                self.seal()?,
                requested.map(|requested| requested.by.principal()),
                requested.and_then(|requested| requested.mode_max).map(Mode::as_str),
                requested.and_then(|requested| requested.note.as_deref()),
                self.retry_of.map(|before| before.to_string()),
            ],
            |row| row.get(0),
        );
        Ok(seq.optional()?)
    }

    /// The pair is known by its first action; another try is known by the one before.
    fn pair_key(&self) -> String {
        self.retry_of
            .map_or_else(|| known_pair::key(self.batch, self.pair), |before| format!("retry of {before}"))
    }

    fn seal(&self) -> Result<[u8; 32], StoreError> {
        let (batch, alert) = (self.batch, self.alert);
        let sealed = Sealed {
            id: self.id,
            source: batch.source,
            alert_id: &alert.alert_id,
            told: Some(Told {
                delivery_id: batch.delivery_id,
                severity: alert.severity,
                title: &alert.title,
                url: alert.url.as_deref(),
                occurred_at: alert.occurred_at,
                accepted_at: batch.now,
            }),
            pair: self.pair,
            target: None,
            completion: None,
            words: &[],
            requested: batch.requested,
            retry_of: self.retry_of,
        };
        sealed.seal()
    }

    /// Writes how the action came to be.
    pub(super) fn first_history_row(&self, tx: &Transaction<'_>, action_seq: i64) -> Result<(), StoreError> {
        let batch = self.batch;
        let why = match (self.retry_of, batch.who) {
            (Some(before), _) => format!("another try of action {before}"),
            _ if batch.requested.is_some() => "asked for by the API".to_owned(),
            (None, Who::Source) => "the alert is on disk".to_owned(),
            _ => format!("delivery {} was read again", batch.delivery_id),
        };
        tx.prepare_cached(
            "INSERT INTO history (action_seq, n, at, from_state, to_state, why, who, facts)
             VALUES (?1, 1, ?2, NULL, ?3, ?4, ?5, '[]')",
        )?
        .execute(params![
            action_seq,
            millis(batch.now),
            State::Accepted.as_str(),
            why,
            batch.who.principal()
        ])?;
        Ok(())
    }
}

/// Returns a known alert as its first delivery told it.
pub(super) fn told_first(tx: &Transaction<'_>, seq: i64, alert: &Alert) -> Result<Alert, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT severity, title, url, occurred_at FROM alerts WHERE seq = ?1")?;
    let told = statement
        .query_and_then([seq], |row| {
            let columns = Columns(row);
            Ok(Alert {
                severity: columns.maybe("severity")?,
                title: columns.raw("title")?,
                url: columns.raw("url")?,
                occurred_at: columns.maybe_time("occurred_at")?,
                ..alert.clone()
            })
        })?
        .next();
    told.ok_or_else(|| StoreError::Corrupt("a known alert is not there".to_owned()))?
}
