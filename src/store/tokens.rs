//! API tokens, kept as the SHA-256 of their secret.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use crate::alert::{Mode, SourceName, Who, millis};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::rows::Columns;
use super::scope::Scope;
use super::{Options, Store, StoreError, connection};

/// For whom a token may ask for actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The source that they are of.
    pub source: SourceName,
    /// How far they may go at most, if less than the source.
    pub mode: Option<Mode>,
}

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its public part.
    pub id: String,
    /// Who or what it is for.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// For whom it may ask for actions, if for anybody.
    pub bound: Option<Bound>,
    /// SHA-256 of its secret part.
    pub secret_sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Its public part.
    pub id: String,
    /// Who or what it is for.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// For whom it may ask for actions, if for anybody.
    pub bound: Option<Bound>,
    /// SHA-256 of its secret part.
    pub secret_sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Who has taken it away.
    pub revoked: Option<RevokedToken>,
}

/// That a token was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedToken {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub who: Who,
    /// Why.
    pub reason: String,
}

/// How a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenStanding {
    /// It opens what its scopes say.
    Active,
    /// Its time is over.
    Expired,
    /// It was taken away.
    Revoked,
}

impl TokenStanding {
    /// Returns the word used in API and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl StoredToken {
    /// Returns how it stands.
    pub fn standing(&self, now: Timestamp) -> TokenStanding {
        if self.revoked.is_some() {
            TokenStanding::Revoked
        } else if now >= self.expires_at {
            TokenStanding::Expired
        } else {
            TokenStanding::Active
        }
    }
}

/// The wish to take a token away.
#[derive(Debug, Clone)]
pub struct RevokeToken {
    /// Its public part.
    pub id: String,
    /// Why, in one line.
    pub reason: String,
    /// Who wants it.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

impl Store {
    /// Returns an API token by its public id.
    pub async fn token(&self, id: String) -> Result<Option<StoredToken>, StoreError> {
        self.readers.read(move |db| find(db, &id)).await
    }

    /// Returns tokens, by id, after this one.
    pub async fn tokens(&self, after: Option<String>, limit: u32) -> Result<Vec<StoredToken>, StoreError> {
        self.readers.read(move |db| page(db, after.as_deref(), limit)).await
    }

    /// Takes a token away, for good; returns it, or `None` if there is no such token. It opens nothing once this has answered.
    pub async fn revoke_token(&self, revoke: RevokeToken) -> Result<Option<StoredToken>, StoreError> {
        self.writer.write(move |tx| revoke_one(tx, &revoke)).await
    }

    /// Has it written that a token was used, with the next commit; says whether there was room for that.
    pub fn note_token_use(&self, id: String, now: Timestamp) -> bool {
        self.writer.leave(move |tx| note_use(tx, &id, now))
    }
}

/// Adds an API token to a database that a server may be using at the same time.
pub fn add_token(options: &Options, token: &NewToken, who: &Who) -> Result<(), StoreError> {
    connection::make_and_write_beside(&options.path, |tx| add(tx, token, who))
}

fn add(tx: &Transaction<'_>, token: &NewToken, who: &Who) -> Result<(), StoreError> {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let scopes = scopes.join(" ");
    tx.execute(
        "INSERT INTO tokens (id, name, scopes, secret_sha256, created_at, expires_at, source, mode)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            token.id,
            token.name,
            scopes,
            token.secret_sha256,
            millis(token.created_at),
            millis(token.expires_at),
            token.bound.as_ref().map(|bound| bound.source.as_str()),
            token.bound.as_ref().and_then(|bound| bound.mode).map(Mode::as_str),
        ],
    )?;
    let done = Administered {
        to: Some(format!("token {} {:?}", token.id, token.name)),
        after: Some(format!(
            "{scopes}{}, until {:.0}",
            token.bound.as_ref().map(told).unwrap_or_default(),
            token.expires_at
        )),
        ..Administered::new(who, Act::CreateToken, token.created_at)
    };
    audit::administered(tx, &done)
}

fn told(bound: &Bound) -> String {
    let mode = bound.mode.map(|mode| format!(" in mode {mode} at most"));
    format!(", for source {}{}", bound.source, mode.unwrap_or_default())
}

pub(super) fn find(db: &Connection, id: &str) -> Result<Option<StoredToken>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM tokens WHERE id = ?1")?;
    let mut found = statement.query([id])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    token(row).map(Some)
}

/// Returns the tokens of a name.
pub(super) fn of_name(db: &Connection, name: &str) -> Result<Vec<StoredToken>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM tokens WHERE name = ?1")?;
    let mut found = statement.query([name])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(token(row)?);
    }
    Ok(tokens)
}

fn token(row: &Row<'_>) -> Result<StoredToken, StoreError> {
    let columns = Columns(row);
    let scopes: String = columns.raw("scopes")?;
    // A scope that a newer version gave and this one does not know allows nothing here.
    let scopes = scopes.split(' ').filter_map(|scope| scope.parse().ok()).collect();
    let revoked = match columns.maybe_time("revoked_at")? {
        None => None,
        Some(at) => Some(RevokedToken {
            at,
            who: columns.parsed("revoked_by")?,
            reason: columns.raw("revoke_reason")?,
        }),
    };
    let bound = match columns.maybe("source")? {
        None => None,
        Some(source) => Some(Bound { source, mode: columns.maybe("mode")? }),
    };
    Ok(StoredToken {
        id: columns.raw("id")?,
        name: columns.raw("name")?,
        scopes,
        bound,
        secret_sha256: columns.raw("secret_sha256")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        last_used_at: columns.maybe_time("last_used_at")?,
        revoked,
    })
}

pub(super) fn page(db: &Connection, after: Option<&str>, limit: u32) -> Result<Vec<StoredToken>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut found = statement.query(params![after.unwrap_or_default(), limit])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(token(row)?);
    }
    Ok(tokens)
}

/// Takes a token away. Who did it first, and why, stands.
fn revoke_one(tx: &Transaction<'_>, revoke: &RevokeToken) -> Result<Option<StoredToken>, StoreError> {
    let known = find(tx, &revoke.id)?;
    let Some(token) = known.as_ref().filter(|token| token.revoked.is_none()) else {
        return Ok(known);
    };
    tx.prepare_cached(
        "UPDATE tokens SET revoked_at = ?2, revoked_by = ?3, revoke_reason = ?4 WHERE id = ?1",
    )?
    .execute(params![revoke.id, millis(revoke.now), revoke.who.principal(), revoke.reason])?;
    let done = Administered {
        to: Some(format!("token {} {:?}", token.id, token.name)),
        reason: Some(revoke.reason.clone()),
        before: Some(token.standing(revoke.now).as_str().to_owned()),
        ..Administered::new(&revoke.who, Act::RevokeToken, revoke.now)
    };
    audit::administered(tx, &done)?;
    find(tx, &revoke.id)
}

fn note_use(tx: &Transaction<'_>, id: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE tokens SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE id = ?1")?
        .execute(params![id, millis(now)])?;
    Ok(())
}

/// Returns tokens of a database that a server may be using at the same time, by id, after this one.
pub fn tokens_beside(
    options: &Options,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<StoredToken>, StoreError> {
    page(&connection::open_to_read(&options.path)?, after, limit)
}

/// Takes a token away in a database that a server may be using at the same time: its next request asks in vain.
pub fn revoke_token_beside(
    options: &Options,
    revoke: &RevokeToken,
) -> Result<Option<StoredToken>, StoreError> {
    connection::write_beside(&options.path, |tx| revoke_one(tx, revoke))
}
