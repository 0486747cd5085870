//! Durable state: deliveries, alerts, actions, their history and intents, in SQLite.
//!
//! One thread writes and commits in groups; reads have connections of their own. What a method here returns
//! `Ok` for is on disk.

mod accept;
mod advance;
mod approvals;
mod audit;
mod backup;
mod batch;
mod blast_breaker;
mod callbacks;
mod calls;
mod cancel;
mod cancel_call;
mod complete;
mod connection;
mod decide;
mod error;
mod fetched;
mod fetches;
mod files;
mod health;
mod idempotency;
mod inline;
mod intent;
mod kept_action;
mod known_pair;
mod ledger;
mod link_use;
mod links;
mod lock;
mod log_copier;
mod marks;
mod messages;
mod new_action;
mod outcome;
mod parts;
mod pending;
mod place;
mod prune;
mod queue;
mod read;
mod remembered;
mod reminders;
mod replay;
mod request;
mod reseal;
mod resend;
mod restore;
mod retry;
mod room;
mod rows;
mod scope;
mod seal;
mod sent;
mod set_back;
mod shadowed;
mod share;
mod soundness;
mod survey;
mod switch;
mod tokens;
mod troubles;
mod turn;
mod undo;
mod unfinished;
mod words;
mod work;
mod writer;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::alert::{
    Action, ActionId, Advance, CancelOutcome, DeliveryId, MachineId, Moment, State, Unsettled, Wish,
};

pub use accept::{Accept, Accepted, AcceptedAction, AcceptedAlert, Receipt};
pub use approvals::{Hold, Judge, Judged};
pub use audit::{AuditHead, AuditRow, read_audit, sign_audit, verify_audit};
pub use backup::{Backup, BackupError, back_up};
pub use blast_breaker::{BlastBreaker, CloseBlastBreaker, blast_breaker_beside, close_blast_breaker_beside};
pub use callbacks::{CallbackRecord, Registration, ResumeCallback, callbacks_beside, resume_callback_beside};
pub use calls::LateCall;
pub use cancel::{Cancel, CancelNote, Cancelled};
pub use cancel_call::RecordedCancel;
pub use complete::{Complete, Completed};
pub use error::StoreError;
pub use fetches::{PendingFetch, WantedFetch};
pub use health::Health;
pub use idempotency::{Once, Taken};
pub use inline::{Disk, InlineStore};
pub use intent::{Intent, RecordedIntent, Weighed};
pub use link_use::{UseLink, UsedLink};
pub use links::{Choice, KeptLink, LinkUse, MadeLink, MakeLink};
pub use messages::{
    CallbackWork, DueMessage, MessageFilter, MessageRecord, NewMessage, Sending, Sent, messages_beside,
};
pub use pending::PendingAtDefender;
pub use place::{Place, place};
pub use prune::{Deleted, Retention, Walk};
pub use queue::{Sendable, Waiting};
pub use read::{ActionFilter, ActionPage, ActionRecord, Attempt, DeliveryRecord, Unread};
pub use reminders::DueReminder;
pub use replay::Replay;
pub use request::{Request, Requests, Wanted};
pub use resend::{ReplayMessages, Replayed, replay_messages_beside};
pub use restore::Restored;
pub use retry::{Retried, Retry};
pub use room::{ROOM_MIN, room_left};
pub use scope::{Scope, UnknownScope};
pub use shadowed::{ShadowFilter, shadowed};
pub use soundness::check_database;
pub use survey::{Survey, action_beside, survey};
pub use switch::{
    KillSwitch, TurnOff, TurnOn, TurnedOff, kill_switch_beside, turn_off_beside, turn_on_beside,
};
pub use tokens::{
    Bound, NewToken, RevokeToken, RevokedToken, StoredToken, TokenStanding, add_token, revoke_token_beside,
    tokens_beside,
};
pub use troubles::{FailedCall, Troubles, troubles};
pub use turn::Turn;
pub use undo::{
    MarkUndone, MarkedUndone, RemoveMark, UNDO_LIMIT, UndoMark, mark_undone_beside, remove_mark_beside,
    undo_marks_beside,
};

use connection::Readers;
use room::Room;
use unfinished::Unfinished;
use writer::Writer;

pub use words::{KeptWord, Via, Word};

/// Where the store lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file. Its folder must exist; its lock file and SQLite's own files lie beside it.
    pub path: PathBuf,
}

/// The durable state. A cheap handle; clones share one database.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Writer,
    readers: Readers,
    unfinished: Unfinished,
    room: Room,
    /// Told when there may be new work for dispatch.
    work_arrived: Arc<Notify>,
    /// Told when there may be alerts to fetch.
    fetch_wanted: Arc<Notify>,
    /// Counts how often the kill switch was turned on, for what is about to be sent.
    kill_switch_turns: watch::Sender<u64>,
}

impl Store {
    /// Opens the database, makes or migrates it if needed, and keeps every other instance out.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        let path = files::resolved(&options.path);
        let lock = lock::take(&path)?;
        let connection = connection::open_and_migrate(&path)?;
        let unfinished = unfinished::count(&connection)?;
        let writer = Writer::start(connection, connection::open_beside(&path)?, lock)?;
        let readers = Readers::new(&path, writer.health().clone());
        Ok(Self { room: Room::of(&path), ..Self::over(writer, readers, unfinished) })
    }

    fn over(writer: Writer, readers: Readers, unfinished: u64) -> Self {
        Self {
            writer,
            readers,
            unfinished: Unfinished::new(unfinished),
            room: Room::unlimited(),
            work_arrived: Arc::default(),
            fetch_wanted: Arc::default(),
            kill_switch_turns: watch::Sender::new(0),
        }
    }

    /// Opens a store that keeps nothing and answers every delivery as new.
    ///
    /// It is what the benchmark of durable accepts compares with.
    pub fn forgetful() -> Result<Self, StoreError> {
        let writer = Writer::forgetful()?;
        let readers = Readers::new(Path::new(":memory:"), writer.health().clone());
        Ok(Self::over(writer, readers, 0))
    }

    /// Waits until there may be new work for dispatch. Ask for it before looking for work.
    pub async fn work_arrived(&self) {
        self.work_arrived.notified().await;
    }

    /// Tells how the disk under the store does.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.writer.health().subscribe()
    }

    /// Changes with every commit: ask for it before looking at what may change.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.writer.commits()
    }

    /// Accepts a delivery: what this answers is on disk.
    pub async fn accept(&self, accept: Accept) -> Result<Receipt, StoreError> {
        let receipt = self.writer.accept(accept).await?;
        self.tell_of(&receipt);
        Ok(receipt)
    }

    fn tell_of(&self, receipt: &Receipt) {
        if let Receipt::New(accepted) = receipt {
            self.tell_of_new(accepted.new_actions());
            if !accepted.fetches.is_empty() {
                self.fetch_wanted.notify_one();
            }
        }
    }

    fn tell_of_new(&self, actions: u64) {
        self.unfinished.add(actions);
        self.work_arrived.notify_one();
    }

    /// Accepts what is new in a kept delivery; `None` if there is no such delivery.
    pub async fn replay(&self, replay: Replay) -> Result<Option<Receipt>, StoreError> {
        let receipt = self.writer.write(move |tx| replay::replay(tx, &replay)).await?;
        if let Some(receipt) = &receipt {
            self.tell_of(receipt);
        }
        Ok(receipt)
    }

    /// Cancels an action, or records that it is wanted: what this answers is on disk.
    pub async fn cancel(&self, cancel: Cancel) -> Result<Cancelled, StoreError> {
        let cancelled = self.writer.write(move |tx| cancel::request(tx, &cancel)).await?;
        if cancelled == Cancelled::Wanted {
            self.work_arrived.notify_one();
        }
        Ok(cancelled)
    }

    /// Returns those of the actions that have a cancellation.
    pub async fn wishes(&self, actions: Vec<ActionId>) -> Result<Vec<Wish>, StoreError> {
        self.readers.read(move |db| cancel::wishes(db, &actions)).await
    }

    /// Writes what was found out about cancellations.
    pub async fn note_cancellations(&self, notes: Vec<CancelNote>) -> Result<(), StoreError> {
        if notes.is_empty() {
            return Ok(());
        }
        self.writer.write(move |tx| notes.iter().try_for_each(|note| cancel::note(tx, note))).await
    }

    /// Records a cancel call of Defender; `None` if it is not wanted any more.
    pub async fn record_cancel(
        &self,
        action: ActionId,
        now: Timestamp,
    ) -> Result<Option<RecordedCancel>, StoreError> {
        self.writer.write(move |tx| cancel_call::record(tx, action, now)).await
    }

    /// Records how a cancel call ended, and when to look at Defender's list again.
    pub async fn record_cancel_outcome(
        &self,
        outcome: CancelOutcome,
        note: CancelNote,
        look_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.write(move |tx| cancel_call::record_outcome(tx, &outcome, &note, (look_at, now))).await
    }

    /// Returns, by source, the machine actions that have been Pending since that time or longer.
    pub async fn pending_at_defender(&self, since: Timestamp) -> Result<Vec<PendingAtDefender>, StoreError> {
        self.readers.read(move |db| pending::at_defender(db, since)).await
    }

    /// Moves actions from state to state; those that somebody else has moved meanwhile stay as they are.
    pub async fn advance(&self, advances: Vec<Advance>) -> Result<(), StoreError> {
        if advances.is_empty() {
            return Ok(());
        }
        self.writer
            .write(move |tx| {
                for advance in &advances {
                    advance::apply(tx, advance)?;
                }
                Ok(())
            })
            .await
    }

    /// Turns every intent without an outcome into `uncertain`: a crash or a power cut lost its answer.
    pub async fn settle_after_restart(&self, now: Moment) -> Result<usize, StoreError> {
        self.writer.write(move |tx| outcome::settle_after_restart(tx, now)).await
    }

    /// Returns actions that nobody has looked at yet, the most urgent first.
    pub async fn undecided(&self, limit: u32) -> Result<Vec<Action>, StoreError> {
        self.readers.read(move |db| work::undecided(db, limit)).await
    }

    /// Returns actions whose device or file is being looked for and that are due, the most urgent first.
    pub async fn resolving(&self, now: Timestamp, limit: u32) -> Result<Vec<Action>, StoreError> {
        self.readers.read(move |db| work::resolving(db, now, limit)).await
    }

    /// Returns the beginnings of the queue: actions that may be sent now, but to the machines that are called already.
    pub async fn sendable(
        &self,
        now: Timestamp,
        limit: usize,
        calling: HashSet<MachineId>,
    ) -> Result<Sendable, StoreError> {
        self.readers.read(move |db| queue::sendable(db, now, limit, &calling)).await
    }

    /// Returns how many actions of each severity wait.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        self.readers.read(queue::waiting).await
    }

    /// Returns how many queued actions of its severity are older than a queued action; `None` if it is not queued.
    pub async fn older(&self, id: ActionId) -> Result<Option<u32>, StoreError> {
        self.readers.read(move |db| queue::older(db, id)).await
    }

    /// Returns actions whose call has an unknown outcome and that are due for a look.
    pub async fn unsettled(&self, now: Timestamp, limit: u32) -> Result<Vec<Unsettled>, StoreError> {
        self.readers.read(move |db| work::unsettled(db, now, limit)).await
    }

    /// Returns all actions whose call has an unknown outcome.
    pub async fn uncertain(&self) -> Result<Vec<ActionId>, StoreError> {
        self.readers.read(work::uncertain).await
    }

    /// Returns since when the oldest unknown outcome is unknown.
    pub async fn uncertain_since(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(work::uncertain_since).await
    }

    /// Returns when the first action was accepted that waits to be sent, by state.
    pub async fn waiting_since(&self) -> Result<[(State, Option<Timestamp>); 3], StoreError> {
        self.readers.read(work::waiting_since).await
    }

    /// Returns submitted actions that are due for a look.
    pub async fn submitted(&self, now: Timestamp, limit: u32) -> Result<Vec<Action>, StoreError> {
        self.readers.read(move |db| work::submitted(db, now, limit)).await
    }

    /// Returns when the next action becomes due for anything, if any waits.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(work::next_due).await
    }

    /// Returns one action with all that happened to it.
    pub async fn action(&self, id: ActionId) -> Result<Option<ActionRecord>, StoreError> {
        self.readers.read(move |db| read::action(db, id)).await
    }

    /// Returns a page of actions, newest first.
    pub async fn actions(&self, filter: ActionFilter) -> Result<ActionPage, StoreError> {
        self.readers.read(move |db| read::actions(db, &filter)).await
    }

    /// Returns where an action stands.
    pub async fn state(&self, id: ActionId) -> Result<Option<State>, StoreError> {
        self.readers.read(move |db| read::state(db, id)).await
    }

    /// Returns one delivery.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.readers.read(move |db| read::delivery(db, id)).await
    }
}
