//! The one thread that writes, committing what waits in groups.
//!
//! A commit costs an fsync whatever it holds, so all that has arrived while the last one ran goes into the
//! next.

use std::fmt;
use std::fs::File;
use std::mem;
use std::thread;
use std::vec;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::StoreError;
use super::accept::{self, Accept, Receipt};
use super::health::Health;
use super::log_copier::LogCopier;

/// How many writes may wait. More of dispatch make it wait; more deliveries are turned away.
const WAITING_MAX: usize = 1024;

/// How many writes go into one commit.
const GROUP_MAX: usize = 256;

/// One write: does its work inside the transaction, or fails because there is none, and returns what to tell
/// its caller after the commit.
pub(super) type Write = Box<dyn FnOnce(Result<&Transaction<'_>, StoreError>) -> Written + Send>;

/// A write whose work is done and not yet committed.
pub(super) struct Written {
    /// Its work failed and must be undone.
    failed: Option<StoreError>,
    /// Tells the caller how the commit went.
    tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Handle to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    writes: mpsc::Sender<Write>,
    health: watch::Sender<Health>,
    /// Counts the commits.
    commits: watch::Sender<u64>,
    keeps: bool,
}

impl Writer {
    /// Starts the thread, and one that copies the log on the second connection. Both end, and let go of the lock, when the last
    /// handle is dropped.
    pub(super) fn start(
        mut connection: Connection,
        copying: Connection,
        lock: File,
    ) -> Result<Self, StoreError> {
        let (writer, mut waiting) = Self::queue(true);
        let mut copier = LogCopier::start(&connection, copying, writer.health.clone())?;
        spawn(move || {
            loop {
                let count = waiting.receive_group();
                if count == 0 {
                    break;
                }
                waiting.commit(&mut connection, |_| Ok(()));
                copier.committed(count, &connection);
            }
            copier.end();
            // Whoever has the lock next finds no connection of ours.
            drop(connection);
            drop(lock);
        })?;
        Ok(writer)
    }

    /// A writer for the benchmark, which keeps nothing of a delivery.
    pub(super) fn forgetful() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        let (writer, mut waiting) = Self::queue(false);
        spawn(move || {
            while waiting.receive_group() > 0 {
                waiting.commit(&mut connection, |_| Ok(()));
            }
        })?;
        Ok(writer)
    }

    /// A writer, and the writes that wait for whoever commits them.
    pub(super) fn queue(keeps: bool) -> (Self, Waiting) {
        let (writes, receiver) = mpsc::channel(WAITING_MAX);
        let health = watch::Sender::new(Health::Fine);
        let (tells, commits) = (health.clone(), watch::Sender::new(0));
        let counts = commits.clone();
        let waiting = Waiting { writes: receiver, group: Vec::new(), stopped: Ok(()), tells, counts };
        (Self { writes, health, commits, keeps }, waiting)
    }

    /// How the disk does. Whoever finds damage tells so here.
    pub(super) fn health(&self) -> &watch::Sender<Health> {
        &self.health
    }

    /// Changes with every commit.
    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Accepts a delivery, unless too many writes wait already.
    pub(super) async fn accept(&self, accept: Accept) -> Result<Receipt, StoreError> {
        if self.keeps {
            self.try_write(move |tx| accept::accept(tx, &accept)).await
        } else {
            Ok(accept::as_new(&accept))
        }
    }

    /// Runs a write and returns when it is on disk, unless too many wait already.
    pub(super) async fn try_write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (write, answered) = prepare(work);
        self.writes.try_send(write).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closing,
        })?;
        answered.await.unwrap_or(Err(StoreError::Closing))
    }

    /// Runs a write and returns when it is on disk.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (write, answered) = prepare(work);
        self.writes.send(write).await.or(Err(StoreError::Closing))?;
        answered.await.unwrap_or(Err(StoreError::Closing))
    }

    /// Leaves a write for the next commit, whose end nobody waits for; says whether there was room for it.
    pub(super) fn leave<F>(&self, work: F) -> bool
    where
        F: FnOnce(&Transaction<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        let (write, _) = prepare(work);
        self.writes.try_send(write).is_ok()
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    match thread::Builder::new().name("store-writer".to_owned()).spawn(work) {
        Ok(_) => Ok(()),
        Err(why) => Err(StoreError::NotWritable(why.to_string())),
    }
}

/// Makes a write of some work, and what its caller waits for.
fn prepare<T, F>(work: F) -> (Write, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let write: Write = Box::new(move |tx| {
        let result = tx.and_then(work);
        let failed = result.as_ref().err().cloned();
        // The caller may have given up; then nobody wants the answer.
        let tell = Box::new(move |committed: Result<(), StoreError>| {
            drop(answer.send(committed.and(result)));
        });
        Written { failed, tell }
    });
    (write, answered)
}

/// The writes that wait, and how the disk did so far.
pub(super) struct Waiting {
    writes: mpsc::Receiver<Write>,
    /// Those that go into the next commit.
    group: Vec<Write>,
    stopped: Result<(), StoreError>,
    tells: watch::Sender<Health>,
    counts: watch::Sender<u64>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl Waiting {
    /// Waits for writes and takes a group of them; returns how many, and 0 once nobody can write any more.
    fn receive_group(&mut self) -> usize {
        self.writes.blocking_recv_many(&mut self.group, GROUP_MAX)
    }

    /// Takes so many of the writes that wait now; returns how many it took.
    pub(super) fn take(&mut self, max: usize) -> usize {
        while self.group.len() < max.min(GROUP_MAX) {
            let Ok(write) = self.writes.try_recv() else {
                break;
            };
            self.group.push(write);
        }
        self.group.len()
    }

    /// Returns how many writes wait.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Does the group in one transaction, commits it, and tells their callers. `check` sees the transaction last, and may
    /// fail it.
    pub(super) fn commit(
        &mut self,
        connection: &mut Connection,
        check: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) {
        let mut waiting = mem::take(&mut self.group).into_iter();
        let mut done = Vec::with_capacity(waiting.len());
        if self.stopped.is_ok() && *self.tells.borrow() == Health::Broken {
            self.stopped = Err(StoreError::Corrupt("a read has found it".to_owned()));
        }
        let result = self.stopped.clone().and_then(|()| commit(connection, &mut waiting, &mut done, check));
        if let Err(error) = &result {
            tracing::error!(%error, "the store failed a commit");
            done.extend(waiting.map(|write| write(Err(error.clone()))));
            // A failed fsync may have thrown the data away and marked it clean: trying again would lie.
            if error.is_fatal() {
                self.stopped.clone_from(&result);
            }
        }
        self.tells.send_if_modified(|health| {
            let after = if *health == Health::Broken { Health::Broken } else { Health::after(&result) };
            mem::replace(health, after) != after
        });
        if result.is_ok() {
            self.counts.send_modify(|count| *count = count.wrapping_add(1));
        }
        for written in done {
            (written.tell)(result.clone());
        }
    }
}

/// Does the waiting writes in one transaction and commits it.
fn commit(
    connection: &mut Connection,
    waiting: &mut vec::IntoIter<Write>,
    done: &mut Vec<Written>,
    check: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for write in waiting {
        tx.prepare_cached("SAVEPOINT one")?.execute([])?;
        let written = write(Ok(&tx));
        let failed = written.failed.clone();
        done.push(written);
        if let Some(error) = failed {
            // SQLite may have rolled back all of it already.
            if error.spoils_transaction() {
                return Err(error);
            }
            tx.prepare_cached("ROLLBACK TO one")?.execute([])?;
        }
        tx.prepare_cached("RELEASE one")?.execute([])?;
    }
    check(&tx)?;
    Ok(tx.commit()?)
}
