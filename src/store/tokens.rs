//! API tokens, kept as the SHA-256 of their secret.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::alert::{Who, millis};
use crate::audit::Act;

use super::audit::{self, Administered};
use super::rows::Columns;
use super::{Options, StoreError, connection};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read actions and deliveries.
    ActionsRead,
    /// Complete held actions.
    ActionsComplete,
    /// Cancel actions.
    ActionsCancel,
    /// Approve or deny held actions.
    ActionsApprove,
    /// Mark actions as undone.
    ActionsUndo,
    /// Take away marks of actions that were undone.
    UndoMarksRemove,
    /// Turn the kill switch on.
    KillSwitchOn,
    /// Turn the kill switch off.
    KillSwitchOff,
    /// Change how far policy goes: close the breaker on blast radius.
    PolicyWrite,
    /// Read kept deliveries again.
    DeliveriesReplay,
    /// Read the audit.
    AuditRead,
    /// Read metrics.
    Metrics,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 12] = [
        Self::ActionsRead,
        Self::ActionsComplete,
        Self::ActionsCancel,
        Self::ActionsApprove,
        Self::ActionsUndo,
        Self::UndoMarksRemove,
        Self::DeliveriesReplay,
        Self::AuditRead,
        Self::KillSwitchOn,
        Self::KillSwitchOff,
        Self::PolicyWrite,
        Self::Metrics,
    ];

    /// Returns the word used in API, store and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActionsRead => "actions:read",
            Self::ActionsComplete => "actions:complete",
            Self::ActionsCancel => "actions:cancel",
            Self::ActionsApprove => "actions:approve",
            Self::ActionsUndo => "actions:undo",
            Self::UndoMarksRemove => "undo-marks:remove",
            Self::DeliveriesReplay => "deliveries:replay",
            Self::AuditRead => "audit:read",
            Self::KillSwitchOn => "kill-switch:on",
            Self::KillSwitchOff => "kill-switch:off",
            Self::PolicyWrite => "policy:write",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope {0:?}; there are {there_are}", there_are = Scope::ALL.map(Scope::as_str).join(", "))]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
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
    /// Who or what it is for.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// SHA-256 of its secret part.
    pub secret_sha256: [u8; 32],
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Adds an API token to a database that a server may be using at the same time.
pub fn add_token(options: &Options, token: &NewToken, who: &Who) -> Result<(), StoreError> {
    connection::write_beside(&options.path, |tx| add(tx, token, who))
}

fn add(tx: &Transaction<'_>, token: &NewToken, who: &Who) -> Result<(), StoreError> {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    let scopes = scopes.join(" ");
    tx.execute(
        "INSERT INTO tokens (id, name, scopes, secret_sha256, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            token.id,
            token.name,
            scopes,
            token.secret_sha256,
            millis(token.created_at),
            millis(token.expires_at)
        ],
    )?;
    let done = Administered {
        to: Some(format!("token {} {:?}", token.id, token.name)),
        after: Some(format!("{scopes}, until {:.0}", token.expires_at)),
        ..Administered::new(who, Act::CreateToken, token.created_at)
    };
    audit::administered(tx, &done)
}

pub(super) fn find(db: &Connection, id: &str) -> Result<Option<StoredToken>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM tokens WHERE id = ?1")?;
    let mut found = statement.query([id])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let columns = Columns(row);
    let scopes: String = columns.raw("scopes")?;
    // A scope that a newer version gave and this one does not know allows nothing here.
    let scopes = scopes.split(' ').filter_map(|scope| scope.parse().ok()).collect();
    Ok(Some(StoredToken {
        name: columns.raw("name")?,
        scopes,
        secret_sha256: columns.raw("secret_sha256")?,
        expires_at: columns.time("expires_at")?,
    }))
}
