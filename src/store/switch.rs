//! The kill switch on disk: every turn of it, of which the newest is how it stands.
//!
//! Turning it on and recording an intent are writes of one database, one after the other: once a turn is committed, no
//! intent is recorded any more. What was recorded just before learns of it by [`Store::kill_switch_turns`].

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};
use tokio::sync::watch;

use crate::alert::{ActionId, Who, millis};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::cancel::{self, Cancel};
use super::marks::Mark;
use super::rows::Columns;
use super::turn::Turn;
use super::{Options, Store, StoreError, connection};

/// The wish to turn the kill switch on.
#[derive(Debug, Clone)]
pub struct TurnOn {
    /// Who wants it.
    pub who: Who,
    /// Why, in one line.
    pub reason: String,
    /// Whether our machine actions that are not over are to be cancelled.
    pub cancels: bool,
    /// Now.
    pub now: Timestamp,
}

/// The wish to turn the kill switch off.
#[derive(Debug, Clone)]
pub struct TurnOff {
    /// Who wants it.
    pub who: Who,
    /// Why, in one line.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}

/// How the kill switch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillSwitch {
    /// No new call is made.
    pub is_on: bool,
    /// The signal file was there when it was last looked for, or that could not be known.
    pub is_signalled: bool,
    /// How it came to be so; `None` if it was never turned.
    pub last: Option<Turn>,
}

/// What came of the wish to turn it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedOff {
    /// It is off.
    Off,
    /// It was off before.
    AlreadyOff,
    /// It stays on: the signal file is there, or it is not known whether it is.
    Signalled,
}

impl fmt::Display for TurnedOff {
    /// Writes it as the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::AlreadyOff => f.write_str("was off before"),
            Self::Signalled => {
                f.write_str("stays on: the signal file is there, or it is not known whether it is")
            }
        }
    }
}

impl Store {
    /// Turns the kill switch on; returns how many cancellations that has begun.
    ///
    /// When this answers, no intent is recorded any more, and calls whose intent was recorded before and that did not begin
    /// are not made.
    pub async fn turn_on(&self, on: TurnOn) -> Result<usize, StoreError> {
        let turns = self.kill_switch_turns.clone();
        let begun = self
            .writer
            .write(move |tx| {
                // Before the commit: whoever waits for its answer may be gone when it comes.
                count_turn(&turns);
                turn_on(tx, &on)
            })
            .await?;
        if begun > 0 {
            self.work_arrived.notify_one();
        }
        Ok(begun)
    }

    /// Turns the kill switch off, unless the signal file is there.
    pub async fn turn_off(&self, off: TurnOff) -> Result<TurnedOff, StoreError> {
        let turned = self.writer.write(move |tx| turn_off(tx, &off)).await?;
        self.work_arrived.notify_one();
        Ok(turned)
    }

    /// Notes whether the signal file says that the switch is on, and turns it on if so. Its absence turns nothing off. Returns
    /// how the switch stands.
    pub async fn note_signal(
        &self,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<KillSwitch, StoreError> {
        let stands = self.kill_switch().await?;
        let is_signalled = reason.is_some();
        if stands.is_signalled == is_signalled && (stands.is_on || !is_signalled) {
            return Ok(stands);
        }
        if is_signalled {
            self.kill_switch_was_turned_on();
        }
        self.writer.write(move |tx| note_signal(tx, reason, now)).await
    }

    /// Returns how the kill switch stands.
    pub async fn kill_switch(&self) -> Result<KillSwitch, StoreError> {
        self.readers.read(read).await
    }

    /// Tells when the kill switch was turned on.
    pub fn kill_switch_turns(&self) -> watch::Receiver<u64> {
        self.kill_switch_turns.subscribe()
    }

    /// Tells everybody here that the switch was turned on by somebody else, such as a command.
    pub fn kill_switch_was_turned_on(&self) {
        count_turn(&self.kill_switch_turns);
    }

    /// Tells dispatch that there may be work again.
    pub fn kill_switch_was_turned_off(&self) {
        self.work_arrived.notify_one();
    }
}

fn count_turn(turns: &watch::Sender<u64>) {
    turns.send_modify(|turns| *turns = turns.wrapping_add(1));
}

/// Says whether the switch is on.
pub(super) fn is_on(db: &Connection) -> Result<bool, StoreError> {
    Ok(read(db)?.is_on)
}

/// Reads how the switch stands.
pub(super) fn read(db: &Connection) -> Result<KillSwitch, StoreError> {
    let is_signalled = Mark::SignalFile.read(db)?.is_some_and(|there| there != 0);
    let mut statement = db.prepare_cached("SELECT * FROM switch_turns ORDER BY seq DESC LIMIT 1")?;
    let mut found = statement.query([])?;
    let Some(row) = found.next()? else {
        return Ok(KillSwitch { is_on: is_signalled, is_signalled, last: None });
    };
    let columns = Columns(row);
    let is_on: bool = columns.raw("is_on")?;
    Ok(KillSwitch { is_on: is_on || is_signalled, is_signalled, last: Some(Turn::read(&columns)?) })
}

fn turn_on(tx: &Transaction<'_>, on: &TurnOn) -> Result<usize, StoreError> {
    if !is_on(tx)? {
        keep(tx, true, (&on.who, &on.reason), on.now)?;
    }
    if !on.cancels {
        return Ok(0);
    }
    let mut begun: usize = 0;
    for action in at_defender(tx)? {
        let cancel = Cancel {
            action,
            reason: format!("kill switch: {}", on.reason),
            who: on.who.clone(),
            now: on.now,
        };
        cancel::request(tx, &cancel)?;
        begun = begun.saturating_add(1);
    }
    Ok(begun)
}

/// Returns the actions that were sent, or may have been, and are not over. The machine action of each is ours: what somebody
/// else made ends an action as superseded.
fn at_defender(tx: &Transaction<'_>) -> Result<Vec<ActionId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT id FROM actions WHERE state IN ('sending', 'uncertain', 'submitted')")?;
    let mut found = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(Columns(row).parsed("id")?);
    }
    Ok(ids)
}

fn turn_off(tx: &Transaction<'_>, off: &TurnOff) -> Result<TurnedOff, StoreError> {
    let stands = read(tx)?;
    if stands.is_signalled {
        return Ok(TurnedOff::Signalled);
    }
    if !stands.is_on {
        return Ok(TurnedOff::AlreadyOff);
    }
    keep(tx, false, (&off.who, &off.reason), off.now)?;
    Ok(TurnedOff::Off)
}

fn note_signal(
    tx: &Transaction<'_>,
    reason: Option<String>,
    now: Timestamp,
) -> Result<KillSwitch, StoreError> {
    let was_on = is_on(tx)?;
    Mark::SignalFile.write(tx, i64::from(reason.is_some()))?;
    if let Some(reason) = reason.filter(|_| !was_on) {
        keep(tx, true, (&Who::Bridge, &reason), now)?;
    }
    read(tx)
}

fn keep(
    tx: &Transaction<'_>,
    is_on: bool,
    (who, reason): (&Who, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO switch_turns (at, is_on, who, reason) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![millis(now), is_on, who.principal(), reason])?;
    let act = if is_on { Act::TurnKillSwitchOn } else { Act::TurnKillSwitchOff };
    let done = Administered { reason: Some(reason.to_owned()), ..Administered::new(who, act, now) };
    audit::administered(tx, &done)
}

/// Turns the switch on in a database that a server may be using at the same time; returns how many cancellations that has
/// begun.
pub fn turn_on_beside(options: &Options, on: &TurnOn) -> Result<usize, StoreError> {
    connection::write_beside(&options.path, |tx| turn_on(tx, on))
}

/// Turns the switch off in a database that a server may be using at the same time.
pub fn turn_off_beside(options: &Options, off: &TurnOff) -> Result<TurnedOff, StoreError> {
    connection::write_beside(&options.path, |tx| turn_off(tx, off))
}

/// Reads how the switch stands in a database that a server may be using at the same time.
pub fn kill_switch_beside(options: &Options) -> Result<KillSwitch, StoreError> {
    read(&connection::open_to_read(&options.path)?)
}
