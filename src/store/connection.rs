//! Connections to the database file, and its migrations.

use std::future::poll_fn;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::task;

use super::StoreError;

/// Marks the file as ours (`PRAGMA application_id`): "qbrg" in ASCII.
const APPLICATION_ID: i64 = 0x7162_7267;

/// The migrations, in order; the schema version is how many have been applied.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_entities_and_keys.sql"),
    include_str!("migrations/0003_resolution.sql"),
    include_str!("migrations/0004_fetches.sql"),
    include_str!("migrations/0005_cancellations.sql"),
    include_str!("migrations/0006_sharing.sql"),
    include_str!("migrations/0007_queue.sql"),
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
const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the database for writing and brings its schema up to date.
pub(super) fn open_and_migrate(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_with_flags(path, WRITE)?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// Makes a new connection ready for writing and brings its schema up to date.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_ours(connection, path)?;
    // FULL: every commit is on disk before it is acknowledged, also through a power cut.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 4000;",
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
    let connection = Connection::open_with_flags(path, WRITE)?;
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

/// Applies what is missing, each migration in a transaction of its own.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let (found, known) = (schema_version(connection)?, newest_version());
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version <= found {
            continue;
        }
        let tx = connection.transaction()?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
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
    #[expect(clippy::disallowed_types, reason = "held for a push or a pop, never across an await")]
    idle: Arc<std::sync::Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self::Threads(Idle { path: path.to_owned(), idle: Arc::default() })
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
        let done = task::spawn_blocking(move || {
            let connection = readers.take()?;
            let result = work(&connection);
            readers.put_back(connection);
            result
        });
        done.await.unwrap_or(Err(StoreError::Closing))
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
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let connection = Connection::open_with_flags(&self.path, READ)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048;")?;
        keep_plans(&connection)?;
        Ok(connection)
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}
