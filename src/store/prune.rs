//! Deletes what is over and old, a little at a time, so that no commit is held up.
//!
//! An alert goes as a whole, with all its actions, when the last of them ended long ago; a delivery goes when no action of
//! its alerts is left. Within the window of duplicates both are remembered.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};
use uuid::Builder;

use crate::alert::{DeliveryId, State, after, before, from_millis, millis};

use super::marks::Mark;
use super::remembered::{self, Key, KnownDelivery};
use super::rows::Columns;
use super::{Store, StoreError, callbacks, messages, sent};

/// How many actions, deliveries, keys or messages are looked at in one write. Some milliseconds, whatever the disk.
const ACTIONS_MAX: u32 = 16;
const DELIVERIES_MAX: u32 = 32;
const KEYS_MAX: u32 = 200;
const MESSAGES_MAX: u32 = 100;

/// How far the time that retention goes by may leap in one pass: a clock set years ahead must not delete everything.
const LEAP_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How long what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long content is kept after it is over.
    pub after: SignedDuration,
    /// How long a duplicate is known for one.
    pub duplicates: SignedDuration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { after: SignedDuration::from_hours(90 * 24), duplicates: SignedDuration::from_hours(30 * 24) }
    }
}

/// A walk over everything that may be too old. The store deletes as it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    retention: Retention,
    /// The time that it goes by.
    now: Timestamp,
    place: Place,
    /// What was deleted at the last step.
    pub deleted: Deleted,
}

/// Where a walk stands. Ids sort by the time at which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Among the actions, after this id.
    Actions(String),
    /// Among the deliveries, after this id.
    Deliveries(String),
    /// At what is remembered.
    Keys,
    /// Among the messages to callbacks.
    Messages,
    /// Everywhere.
    End,
}

/// How much was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Actions, with their history and attempts.
    pub actions: usize,
    /// Deliveries.
    pub deliveries: usize,
    /// Keys of duplicates whose window is over.
    pub keys: usize,
    /// Messages to callbacks.
    pub messages: usize,
}

impl Deleted {
    /// Adds what else was deleted.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            actions: self.actions.saturating_add(other.actions),
            deliveries: self.deliveries.saturating_add(other.deliveries),
            keys: self.keys.saturating_add(other.keys),
            messages: self.messages.saturating_add(other.messages),
        }
    }
}

impl Walk {
    /// Says whether it has been everywhere.
    pub fn is_over(&self) -> bool {
        self.place == Place::End
    }

    fn is_old(&self, at: i64) -> bool {
        from_millis(at) <= before(self.now, self.retention.after)
    }

    fn is_duplicate_still(&self, at: i64) -> bool {
        from_millis(at) > before(self.now, self.retention.duplicates)
    }

    /// The first id that could be made at the time before which things are old.
    fn first_young_id(&self) -> String {
        let old = millis(before(self.now, self.retention.after));
        Builder::from_unix_timestamp_millis(u64::try_from(old).unwrap_or(0), &[0; 10]).into_uuid().to_string()
    }
}

impl Store {
    /// Begins to look for what is too old.
    ///
    /// It goes by a time of its own, which follows the clock by a day a walk at most: should the clock be set far ahead by
    /// mistake, there is time to see it.
    pub async fn begin_pruning(&self, retention: Retention, now: Timestamp) -> Result<Walk, StoreError> {
        self.writer
            .write(move |tx| {
                let before = Mark::PrunedTo.read(tx)?.map(from_millis);
                let now = before.map_or(now, |before| now.min(after(before, LEAP_MAX)));
                Mark::PrunedTo.write(tx, millis(now))?;
                let place = Place::Actions(String::new());
                Ok(Walk { retention, now, place, deleted: Deleted::default() })
            })
            .await
    }

    /// Deletes a little of what is too old, and goes on from there.
    pub async fn prune(&self, walk: Walk) -> Result<Walk, StoreError> {
        self.writer.write(move |tx| step(tx, &walk)).await
    }
}

fn step(tx: &Transaction<'_>, walk: &Walk) -> Result<Walk, StoreError> {
    let mut deleted = Deleted::default();
    let place = match &walk.place {
        Place::Actions(id) => match prune_actions(tx, walk, id, &mut deleted)? {
            Some(id) => Place::Actions(id),
            None => Place::Deliveries(String::new()),
        },
        Place::Deliveries(id) => match prune_deliveries(tx, walk, id, &mut deleted)? {
            Some(id) => Place::Deliveries(id),
            None => Place::Keys,
        },
        Place::Keys => {
            deleted.keys = remembered::forget(tx, before(walk.now, walk.retention.duplicates), KEYS_MAX)?;
            if deleted.keys > 0 { Place::Keys } else { Place::Messages }
        }
        Place::Messages => {
            deleted.messages = messages::forget(tx, before(walk.now, walk.retention.after), MESSAGES_MAX)?;
            if deleted.messages > 0 {
                Place::Messages
            } else {
                callbacks::forget(tx)?;
                Place::End
            }
        }
        Place::End => Place::End,
    };
    Ok(Walk { place, deleted, ..walk.clone() })
}

/// Looks at some actions, the oldest first, after this id; returns the last id, if there may be more.
fn prune_actions(
    tx: &Transaction<'_>,
    walk: &Walk,
    from: &str,
    deleted: &mut Deleted,
) -> Result<Option<String>, StoreError> {
    let mut statement = tx
        .prepare_cached("SELECT id, alert_seq FROM actions WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
    let found = statement.query_map(params![from, walk.first_young_id(), ACTIONS_MAX], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    let found: Vec<(String, i64)> = found.collect::<Result<_, _>>()?;
    let mut alerts: Vec<i64> = found.iter().map(|(_, alert_seq)| *alert_seq).collect();
    alerts.sort_unstable();
    alerts.dedup();
    for alert_seq in alerts {
        if let Some(ended_at) = ended(tx, alert_seq)?.filter(|at| walk.is_old(*at)) {
            if walk.is_duplicate_still(ended_at) {
                remember_alert(tx, alert_seq, ended_at)?;
            }
            deleted.actions = deleted.actions.saturating_add(delete_alert(tx, alert_seq)?);
        }
    }
    Ok(found.into_iter().last().map(|(id, _)| id))
}

/// Returns when the last action of an alert ended; `None` if one has not, or if another action depends on one.
fn ended(tx: &Transaction<'_>, alert_seq: i64) -> Result<Option<i64>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT state, changed_at FROM actions WHERE alert_seq = ?1")?;
    let mut rows = statement.query([alert_seq])?;
    let mut ended_at = None;
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        let state: State = columns.parsed("state")?;
        if !state.is_final() {
            return Ok(None);
        }
        ended_at = ended_at.max(Some(columns.raw("changed_at")?));
    }
    Ok(ended_at)
}

/// Remembers the pairs of an alert, and the targets that its actions were sent for.
fn remember_alert(tx: &Transaction<'_>, alert_seq: i64, ended_at: i64) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT l.source, l.alert_id, a.pair_key, a.machine_id, a.sha1, {} AS was_sent
         FROM actions a JOIN alerts l ON l.seq = a.alert_seq WHERE a.alert_seq = ?1",
        sent::was_sent("a")
    ))?;
    let mut rows = statement.query([alert_seq])?;
    while let Some(row) = rows.next()? {
        let columns = Columns(row);
        let (source, alert_id): (String, String) = (columns.raw("source")?, columns.raw("alert_id")?);
        let pair_key: String = columns.raw("pair_key")?;
        Key::of_pair(&source, &alert_id, &pair_key).remember(tx, ended_at)?;
        let was_sent: bool = columns.raw("was_sent")?;
        let machine_id: Option<String> = columns.raw("machine_id")?;
        let target = machine_id.zip(columns.raw::<Option<String>>("sha1")?);
        if let Some((machine_id, sha1)) = target.filter(|_| was_sent) {
            Key::of_target(&source, &alert_id, &machine_id, &sha1).remember(tx, ended_at)?;
        }
    }
    Ok(())
}

/// Deletes an alert with all that belongs to it; returns how many actions it had.
fn delete_alert(tx: &Transaction<'_>, alert_seq: i64) -> Result<usize, StoreError> {
    for of_actions in ["history", "attempts", "holds", "approvals", "links"] {
        tx.prepare_cached(&format!(
            "DELETE FROM {of_actions} WHERE action_seq IN (SELECT seq FROM actions WHERE alert_seq = ?1)"
        ))?
        .execute([alert_seq])?;
    }
    let actions = tx.prepare_cached("DELETE FROM actions WHERE alert_seq = ?1")?.execute([alert_seq])?;
    tx.prepare_cached("DELETE FROM alerts WHERE seq = ?1")?.execute([alert_seq])?;
    Ok(actions)
}

/// Looks at some deliveries, the oldest first, after this id; returns the last id, if there may be more.
fn prune_deliveries(
    tx: &Transaction<'_>,
    walk: &Walk,
    from: &str,
    deleted: &mut Deleted,
) -> Result<Option<String>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, source, delivery_key, received_at, body_sha256, outcome, alert_ids FROM deliveries
         WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![from, walk.first_young_id(), DELIVERIES_MAX])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let old = OldDelivery::read(&Columns(row))?;
        last = Some(old.known.id.to_string());
        if !old.is_needed(tx)? {
            old.delete(tx, walk)?;
            deleted.deliveries = deleted.deliveries.saturating_add(1);
        }
    }
    Ok(last)
}

/// A delivery that is old enough to go.
struct OldDelivery {
    known: KnownDelivery,
    source: String,
    delivery_key: String,
    received_at: i64,
    is_accepted: bool,
    alert_ids: Vec<String>,
}

impl OldDelivery {
    fn read(columns: &Columns<'_, '_>) -> Result<Self, StoreError> {
        let id: DeliveryId = columns.parsed("id")?;
        Ok(Self {
            known: KnownDelivery { id, body_sha256: columns.raw("body_sha256")? },
            source: columns.raw("source")?,
            delivery_key: columns.raw("delivery_key")?,
            received_at: columns.raw("received_at")?,
            is_accepted: columns.raw::<String>("outcome")? == "accepted",
            alert_ids: columns.json("alert_ids")?,
        })
    }

    /// Says whether one of its alerts is there still, or is to be fetched.
    fn is_needed(&self, tx: &Transaction<'_>) -> Result<bool, StoreError> {
        let mut pending =
            tx.prepare_cached("SELECT 1 FROM fetches WHERE delivery_id = ?1 AND state = 'pending'")?;
        if pending.exists([self.known.id.to_string()])? {
            return Ok(true);
        }
        let mut alert = tx.prepare_cached("SELECT 1 FROM alerts WHERE source = ?1 AND alert_id = ?2")?;
        for alert_id in &self.alert_ids {
            if alert.exists([&self.source, alert_id])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes it. One that was refused, or that refers to alerts to be fetched, means nothing when it comes again but what
    /// it says then, so it need not be remembered.
    fn delete(&self, tx: &Transaction<'_>, walk: &Walk) -> Result<(), StoreError> {
        let id = self.known.id.to_string();
        let fetches = tx.prepare_cached("DELETE FROM fetches WHERE delivery_id = ?1")?.execute([&id])?;
        if self.is_accepted && fetches == 0 && walk.is_duplicate_still(self.received_at) {
            let key = Key::of_delivery(&self.source, &self.delivery_key);
            key.remember_delivery(tx, self.received_at, &self.known)?;
        }
        tx.prepare_cached("DELETE FROM deliveries WHERE id = ?1")?.execute([&id])?;
        Ok(())
    }
}
