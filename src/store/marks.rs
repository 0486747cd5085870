//! Numbers about the database as a whole.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;

/// What a number is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The time that retention goes by.
    PrunedTo,
    /// When the backup was made that this database is; it goes when the database is taken up.
    BackupAt,
    /// How often the database was restored from a backup.
    Restores,
    /// When it was restored last.
    RestoredAt,
    /// When the backup was made from which it was restored last.
    RestoredFrom,
    /// For which restore the calls of its last hour were counted.
    CallsCounted,
    /// Which entry of the audit has the last checkpoint.
    AuditCheckpoint,
    /// Up to which entry of the audit a collector was told of traces.
    TracedTo,
    /// Whether the signal file of the kill switch was there when it was last looked for: 1 if so, or if that was not known.
    SignalFile,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Self::PrunedTo => "pruned_to",
            Self::BackupAt => "backup_at",
            Self::Restores => "restores",
            Self::RestoredAt => "restored_at",
            Self::RestoredFrom => "restored_from",
            Self::CallsCounted => "calls_counted",
            Self::AuditCheckpoint => "audit_checkpoint",
            Self::TracedTo => "traced_to",
            Self::SignalFile => "signal_file",
        }
    }

    pub(super) fn read(self, db: &Connection) -> Result<Option<i64>, StoreError> {
        let mut statement = db.prepare_cached("SELECT value FROM marks WHERE name = ?1")?;
        Ok(statement.query_row([self.as_str()], |row| row.get(0)).optional()?)
    }

    pub(super) fn write(self, db: &Connection, value: i64) -> Result<(), StoreError> {
        db.prepare_cached(
            "INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        )?
        .execute(params![self.as_str(), value])?;
        Ok(())
    }

    pub(super) fn clear(self, db: &Connection) -> Result<(), StoreError> {
        db.prepare_cached("DELETE FROM marks WHERE name = ?1")?.execute([self.as_str()])?;
        Ok(())
    }
}
