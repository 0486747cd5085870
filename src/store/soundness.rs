//! Looks for damage in the database file.

use rusqlite::Connection;

use super::connection;
use super::{Options, Store, StoreError};

impl Store {
    /// Reads the whole database and stops the store if it is damaged.
    ///
    /// It takes as long as reading the file. Each table is read by itself, so that the write-ahead log can be taken into the
    /// database in between.
    pub async fn look_for_damage(&self) -> Result<(), StoreError> {
        for table in self.readers.read(tables).await? {
            self.readers.read(move |db| check(db, &table)).await?;
        }
        Ok(())
    }
}

/// Reads the whole database, which a service may be using, and tells of damage.
pub fn check_database(options: &Options) -> Result<(), StoreError> {
    let db = connection::open_beside(&options.path)?;
    for table in tables(&db)? {
        check(&db, &table)?;
    }
    Ok(())
}

fn tables(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn check(db: &Connection, table: &str) -> Result<(), StoreError> {
    let sql = "SELECT quick_check FROM pragma_quick_check(?1) LIMIT 1";
    let found: String = db.query_row(sql, [table], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(format!("table {table}: {found}"))) }
}
