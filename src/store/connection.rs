//! Connections to the database file, and its migrations.

use std::fs::{self, File, OpenOptions};
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::mem;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::watch;
use tokio::task;

use super::StoreError;
use super::files::{beside, resolved};
use super::health::Health;
use super::{lock, reseal};

/// Marks the file as ours (`PRAGMA application_id`): "qbrg" in ASCII.
const APPLICATION_ID: i64 = 0x7162_7267;

/// The mode of a database that is made: it names devices, files and persons.
const PRIVATE: u32 = 0o600;

/// The migrations, in order; the schema version is how many have been applied.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_entities_and_keys.sql"),
    include_str!("migrations/0003_resolution.sql"),
    include_str!("migrations/0004_fetches.sql"),
    include_str!("migrations/0005_cancellations.sql"),
    include_str!("migrations/0006_sharing.sql"),
    include_str!("migrations/0007_queue.sql"),
    include_str!("migrations/0008_retention.sql"),
    include_str!("migrations/0009_guards.sql"),
    include_str!("migrations/0010_audit.sql"),
    include_str!("migrations/0011_kill_switch.sql"),
    include_str!("migrations/0012_approvals.sql"),
    include_str!("migrations/0013_blast_breaker.sql"),
    include_str!("migrations/0014_tokens.sql"),
    include_str!("migrations/0015_words.sql"),
    include_str!("migrations/0016_requests.sql"),
    include_str!("migrations/0017_links.sql"),
    include_str!("migrations/0018_callbacks.sql"),
    include_str!("migrations/0019_lists.sql"),
    include_str!("migrations/0020_seals.sql"),
    include_str!("migrations/0021_retries.sql"),
    include_str!("migrations/0022_traces.sql"),
];

/// How long a connection waits for another process, such as `token create`, to finish writing. A delivery is answered
/// within a second.
const BUSY_TIMEOUT: Duration = Duration::from_millis(700);

/// How many idle connections for reading are kept.
const IDLE_MAX: usize = 4;

/// How many statements a connection keeps compiled.
const STATEMENTS_MAX: usize = 64;

/// A connection belongs to one thread at a time, so SQLite's own mutexes are left out.
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const BESIDE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const WRITE: OpenFlags = BESIDE.union(OpenFlags::SQLITE_OPEN_CREATE);

/// Where a database file says whether it is written ahead, and the value of one that is not (SQLite's file format, 1.3.3).
const WRITE_VERSION_AT: usize = 18;
const NOT_WRITTEN_AHEAD: u8 = 1;

/// Opens the database for writing and brings its schema up to date.
pub(super) fn open_and_migrate(path: &Path) -> Result<Connection, StoreError> {
    check_log(path)?;
    make_private(path)?;
    let mut connection = Connection::open_with_flags(path, WRITE)?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// Makes a database that is not there yet for its owner alone, whatever the umask; SQLite gives its log the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unreachable { path: path.to_owned(), why: error.to_string() }),
    }
}

/// Makes a new connection ready for writing and brings its schema up to date.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_ours(connection, path)?;
    // FULL: every commit is on disk before it is acknowledged, also through a power cut.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;
         PRAGMA journal_size_limit = 67108864; PRAGMA cell_size_check = ON;",
    )?;
    keep_plans(connection)?;
    migrate(connection)
}

/// Keeps statements compiled, whatever values they are used with: else SQLite compiles them anew where a value might mean
/// another plan, and every statement here names its index or needs none.
fn keep_plans(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Opens a database that another process is serving, and leaves its schema alone.
pub(super) fn open_beside(path: &Path) -> Result<Connection, StoreError> {
    check_there(path)?;
    check_log(&resolved(path))?;
    let connection = Connection::open_with_flags(path, BESIDE)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA cell_size_check = ON;")?;
    check_ours(&connection, path)?;
    let (found, known) = (schema_version(&connection)?, newest_version());
    if found == known { Ok(connection) } else { Err(StoreError::OtherVersion { found, known }) }
}

/// Does one write in a database that a service may be using at the same time. Where none does, it is brought up to date first,
/// and no service starts until the write is done.
pub(super) fn write_beside<T>(
    path: &Path,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    check_there(path)?;
    make_and_write_beside(path, work)
}

/// The same, and makes a database that is not there yet.
pub(super) fn make_and_write_beside<T>(
    path: &Path,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let path = resolved(path);
    // The lock goes last.
    let (_lock, mut db) = match lock::take(&path) {
        Ok(lock) => (Some(lock), open_and_migrate(&path)?),
        Err(StoreError::InUse(_)) => (None, open_beside(&path)?),
        Err(error) => return Err(error),
    };
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&tx)?;
    tx.commit()?;
    Ok(done)
}

fn check_there(path: &Path) -> Result<(), StoreError> {
    // What cannot be looked at is told by opening it.
    match path.try_exists() {
        Ok(false) => Err(StoreError::Missing(path.to_owned())),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Refuses a database beside which the log of another one lies: SQLite would mix the two.
///
/// A database that is written ahead says so from before its first log is made, and a backup does not.
fn check_log(path: &Path) -> Result<(), StoreError> {
    let mut head = [0; WRITE_VERSION_AT + 1];
    let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok();
    let log = beside(path, "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    if is_read && has_log && head.last() == Some(&NOT_WRITTEN_AHEAD) {
        return Err(StoreError::LogOfAnother(log));
    }
    Ok(())
}

/// Opens a database to read it beside whoever is serving it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    check_there(path)?;
    let connection = Connection::open_with_flags(path, READ)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_ours(&connection, path)?;
    let (found, known) = (schema_version(&connection)?, newest_version());
    if found == known { Ok(connection) } else { Err(StoreError::OtherVersion { found, known }) }
}

fn schema_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn newest_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Refuses a file that belongs to another program, before anything in it is changed.
fn check_ours(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let foreign = || StoreError::Foreign(path.to_owned());
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let id = match pragma("application_id") {
        Ok(id) => id,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(foreign());
        }
        Err(error) => return Err(error.into()),
    };
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) { Ok(()) } else { Err(foreign()) }
}

/// Applies what is missing in one transaction: seals need the newest schema, and a database between two schemas would look as if
/// it had them.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let (found, known) = (schema_version(connection)?, newest_version());
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found == known {
        return Ok(());
    }
    let tx = connection.transaction()?;
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > found {
            tx.execute_batch(migration)?;
        }
    }
    reseal::seal_unfinished(&tx, found)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known)?;
    tx.commit()?;
    Ok(())
}

/// A connection that several handles share, one at a time.
#[expect(clippy::disallowed_types, reason = "held for one read or one commit, never across an await")]
pub(super) type SharedConnection = Arc<std::sync::Mutex<Connection>>;

/// What reads.
#[derive(Debug, Clone)]
pub(super) enum Readers {
    /// Connections of its own to a file, used on threads that may block.
    Threads(Idle),
    /// One connection to a database in memory, used where the read is asked for.
    Inline(SharedConnection),
}

/// Connections to a file that nobody uses now.
#[derive(Debug, Clone)]
pub(super) struct Idle {
    path: PathBuf,
    /// Told when a read finds damage.
    health: watch::Sender<Health>,
    #[expect(clippy::disallowed_types, reason = "held for a push or a pop, never across an await")]
    connections: Arc<std::sync::Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path, health: watch::Sender<Health>) -> Self {
        Self::Threads(Idle { path: path.to_owned(), health, connections: Arc::default() })
    }

    /// Runs a read on a connection of its own.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = match self {
            Self::Threads(idle) => idle.clone(),
            Self::Inline(connection) => {
                pass_once().await;
                return work(&connection.lock().unwrap_or_else(PoisonError::into_inner));
            }
        };
        let health = readers.health.clone();
        let done = task::spawn_blocking(move || {
            let connection = readers.take()?;
            let result = work(&connection);
            readers.put_back(connection);
            result
        });
        let read = done.await.unwrap_or(Err(StoreError::Closing));
        if let Err(error) = &read
            && error.is_fatal()
        {
            // What is damaged in one place may be so in others: nothing is acted on any more.
            tracing::error!(%error, "a read of the store failed");
            health.send_replace(Health::Broken);
        }
        read
    }
}

/// Lets others go on once: a read takes time everywhere.
async fn pass_once() {
    let mut has_passed = false;
    poll_fn(|context| {
        if mem::replace(&mut has_passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Idle {
    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let connection = Connection::open_with_flags(&self.path, READ)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(
            "PRAGMA query_only = ON; PRAGMA cache_size = -2048; PRAGMA cell_size_check = ON;",
        )?;
        keep_plans(&connection)?;
        Ok(connection)
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}
