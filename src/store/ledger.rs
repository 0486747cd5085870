//! What was sent and would have been sent: counted for good, so that no limit forgets.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Transaction, params, params_from_iter};

use std::collections::BTreeMap;

use crate::alert::{Action, Mode, Target, before, from_millis, millis};
use crate::policy::{Fact, LONGEST_PERIOD, Limit, LimitKey, OwnFacts, Policy};

use super::rows::unsigned;
use super::{StoreError, blast_breaker, undo};

/// How many old rows are forgotten with each new one.
const FORGET_MAX: u32 = 50;

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
    /// What would have been sent in mode shadow counts for that mode only.
    fn is_shadow(&self) -> bool {
        self.policy.mode_within(self.action.mode_max()) == Mode::Shadow
    }

    /// Reads what our own records say of it.
    pub(super) fn facts(&self, tx: &Transaction<'_>) -> Result<OwnFacts, StoreError> {
        Ok(OwnFacts {
            targets_of_alert: Fact::Known(self.targets_of_alert(tx)?),
            last_quarantined_at: Fact::Known(self.last_quarantined_at(tx)?),
            undone_until: Fact::Known(undo::until(tx, self.target)?),
            counts: Fact::Known(self.counts(tx)?),
            blast_breaker_since: Fact::Known(blast_breaker::open_since(tx)?),
            actions_of_source: Fact::Known(self.actions_of_source(tx)?),
        })
    }

    fn targets_of_alert(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let mut statement = tx.prepare_cached(
            "SELECT count(*) FROM actions
             WHERE alert_seq = (SELECT alert_seq FROM actions WHERE id = ?1) AND retry_of IS NULL",
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
