//! What was sent and would have been sent: counted for good, so that no limit forgets.

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Transaction, params, params_from_iter};

use std::collections::BTreeMap;

use crate::alert::{Action, MachineId, Mode, Sha1, Target, Who, before, from_millis, millis};
use crate::audit::Act;
use crate::policy::{Fact, LONGEST_PERIOD, Limit, LimitKey, OwnFacts, Policy};

use super::audit::{self, Administered};
use super::rows::unsigned;
use super::{Store, StoreError, blast_breaker};

/// How long after it was undone a quarantine is not repeated (reference, safety 3.2).
pub const UNDO_LIMIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How many old rows are forgotten with each new one.
const FORGET_MAX: u32 = 50;

/// The mark of a quarantine that a person has undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoMark {
    /// The device.
    pub machine_id: MachineId,
    /// The file.
    pub sha1: Sha1,
    /// When.
    pub at: Timestamp,
    /// Until when the same is not done again.
    pub until: Timestamp,
    /// Who.
    pub who: Who,
    /// Why.
    pub reason: String,
}

/// An action that has a target, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    pub(super) action: &'a Action,
    pub(super) target: Target,
    pub(super) policy: &'a Policy,
    /// The time by the clock that cannot be set.
    pub(super) at: Timestamp,
}

impl Counted<'_> {
    /// What a shadow source would have sent counts for shadow sources only.
    fn is_shadow(&self) -> bool {
        self.policy.mode() == Mode::Shadow
    }

    /// Reads what our own records say of it.
    pub(super) fn facts(&self, tx: &Transaction<'_>) -> Result<OwnFacts, StoreError> {
        Ok(OwnFacts {
            targets_of_alert: Fact::Known(self.targets_of_alert(tx)?),
            last_quarantined_at: Fact::Known(self.last_quarantined_at(tx)?),
            undone_until: Fact::Known(self.undone_until(tx)?),
            counts: Fact::Known(self.counts(tx)?),
            blast_breaker_since: Fact::Known(blast_breaker::open_since(tx)?),
            actions_of_source: Fact::Known(self.actions_of_source(tx)?),
        })
    }

    fn targets_of_alert(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let mut statement = tx.prepare_cached(
            "SELECT count(*) FROM actions WHERE alert_seq = (SELECT alert_seq FROM actions WHERE id = ?1)",
        )?;
        Ok(unsigned(statement.query_row([self.action.id.to_string()], |row| row.get(0))?))
    }

    /// An action that is under way is not over: the machine action can be shared. One that was refused, failed or was
    /// cancelled has quarantined nothing. What is not there any more has been pruned, so it was over.
    fn last_quarantined_at(&self, tx: &Transaction<'_>) -> Result<Option<Timestamp>, StoreError> {
        let mut statement = tx.prepare_cached(
            "SELECT max(s.at) FROM sent s INDEXED BY sent_by_device LEFT JOIN actions a ON a.id = s.action_id
             WHERE s.machine_id = ?1 AND s.sha1 = ?2 AND s.action_id <> ?3 AND s.is_shadow <= ?4
             AND (s.is_shadow = 1 OR a.state IS NULL OR a.state = 'succeeded')",
        )?;
        let target = self.target;
        let key = params![
            target.machine_id.to_string(),
            target.sha1.to_string(),
            self.action.id.to_string(),
            self.is_shadow()
        ];
        let at: Option<i64> = statement.query_row(key, |row| row.get(0))?;
        Ok(at.map(from_millis))
    }

    fn undone_until(&self, tx: &Transaction<'_>) -> Result<Option<Timestamp>, StoreError> {
        let mut statement =
            tx.prepare_cached("SELECT until FROM undo_marks WHERE machine_id = ?1 AND sha1 = ?2")?;
        let key = [self.target.machine_id.to_string(), self.target.sha1.to_string()];
        let until: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
        Ok(until.map(from_millis))
    }

    /// Counts for each limit, by its label, what was sent in its period besides this action. What lies in the future
    /// counts: the clock was behind when the service started, and how long ago it was is not known.
    fn counts(&self, tx: &Transaction<'_>) -> Result<BTreeMap<String, u64>, StoreError> {
        let limits = self.policy.guards.limits.iter();
        limits.map(|limit| Ok((limit.label(), self.count(tx, limit)?))).collect()
    }

    fn count(&self, tx: &Transaction<'_>, limit: &Limit) -> Result<u64, StoreError> {
        let mut sql =
            "SELECT count(*) FROM sent WHERE at > ?1 AND is_shadow <= ?2 AND action_id <> ?3".to_owned();
        let mut values = vec![
            Value::from(millis(before(self.at, limit.period))),
            Value::from(i64::from(self.is_shadow())),
            Value::from(self.action.id.to_string()),
        ];
        let mut only = |column: &str, value: String| {
            values.push(Value::from(value));
            sql.extend([" AND ", column, " = ?", &values.len().to_string()]);
        };
        for key in &limit.keys {
            let (column, value) = match key {
                LimitKey::Hash => ("sha1", self.target.sha1.to_string()),
                LimitKey::Device => ("machine_id", self.target.machine_id.to_string()),
                LimitKey::Source => ("source", self.action.source.to_string()),
                LimitKey::Rule => ("rule", self.action.title.clone()),
            };
            // A rule is one of its source.
            if *key == LimitKey::Rule && !limit.keys.contains(&LimitKey::Source) {
                only("source", self.action.source.to_string());
            }
            only(column, value);
        }
        Ok(unsigned(tx.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?))
    }

    fn actions_of_source(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let mut statement =
            tx.prepare_cached("SELECT sent + ?2 * shadow FROM sources_sent WHERE source = ?1")?;
        let key = params![self.action.source.as_str(), self.is_shadow()];
        let found: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
        Ok(found.map_or(0, unsigned))
    }

    /// Counts it: once, however many calls it takes, and as late as the last of them.
    pub(super) fn keep(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let (action, target, is_shadow) = (self.action, self.target, self.is_shadow());
        let id = action.id.to_string();
        let is_new = !tx.prepare_cached("SELECT 1 FROM sent WHERE action_id = ?1")?.exists([&id])?;
        tx.prepare_cached(
            "INSERT INTO sent (action_id, at, is_shadow, source, rule, machine_id, sha1)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (action_id) DO UPDATE SET at = max(at, excluded.at)",
        )?
        .execute(params![
            id,
            millis(self.at),
            is_shadow,
            action.source.as_str(),
            action.title,
            target.machine_id.to_string(),
            target.sha1.to_string(),
        ])?;
        if is_new {
            tx.prepare_cached(
                "INSERT INTO sources_sent (source, sent, shadow) VALUES (?1, ?2, ?3)
                 ON CONFLICT (source) DO UPDATE SET sent = sent + excluded.sent, shadow = shadow + excluded.shadow",
            )?
            .execute(params![action.source.as_str(), !is_shadow, is_shadow])?;
        }
        tx.prepare_cached(
            "DELETE FROM sent WHERE seq IN (SELECT seq FROM sent WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![millis(before(self.at, LONGEST_PERIOD)), FORGET_MAX])?;
        Ok(())
    }
}

impl Store {
    /// Marks a quarantine as undone.
    pub async fn mark_undone(&self, mark: UndoMark) -> Result<(), StoreError> {
        self.writer.write(move |tx| mark_undone(tx, &mark)).await
    }
}

/// Writes a mark; a later one takes the place of an earlier.
fn mark_undone(tx: &Transaction<'_>, mark: &UndoMark) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO undo_marks (machine_id, sha1, at, until, who, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (machine_id, sha1) DO UPDATE SET
             at = excluded.at, until = max(until, excluded.until), who = excluded.who, reason = excluded.reason",
    )?
    .execute(params![
        mark.machine_id.to_string(),
        mark.sha1.to_string(),
        millis(mark.at),
        millis(mark.until),
        mark.who.to_string(),
        mark.reason,
    ])?;
    let done = Administered {
        to: Some(format!("machine {}, SHA1 {}", mark.machine_id, mark.sha1)),
        reason: Some(mark.reason.clone()),
        after: Some(format!("until {:.0}", mark.until)),
        ..Administered::new(&mark.who, Act::UndoAction, mark.at)
    };
    audit::administered(tx, &done)
}
