//! What API tokens allow.

use std::fmt;
use std::str::FromStr;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read actions and deliveries.
    ActionsRead,
    /// Ask for actions of the token's source, and how those stand.
    ActionsWrite,
    /// Complete held actions.
    ActionsComplete,
    /// Cancel actions.
    ActionsCancel,
    /// Have actions that came to nothing tried again.
    ActionsRetry,
    /// Approve or deny held actions.
    ActionsApprove,
    /// Make links by which an approver decides.
    LinksCreate,
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
    /// See which tokens of the API there are.
    TokensRead,
    /// Take tokens of the API away.
    TokensRevoke,
    /// See callbacks and their messages.
    CallbacksRead,
    /// Have messages sent to callbacks again.
    CallbacksReplay,
    /// Have a callback told again that has answered 410.
    CallbacksResume,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 20] = [
        Self::ActionsRead,
        Self::ActionsWrite,
        Self::ActionsComplete,
        Self::ActionsCancel,
        Self::ActionsRetry,
        Self::ActionsApprove,
        Self::LinksCreate,
        Self::ActionsUndo,
        Self::UndoMarksRemove,
        Self::DeliveriesReplay,
        Self::AuditRead,
        Self::KillSwitchOn,
        Self::KillSwitchOff,
        Self::PolicyWrite,
        Self::Metrics,
        Self::TokensRead,
        Self::TokensRevoke,
        Self::CallbacksRead,
        Self::CallbacksReplay,
        Self::CallbacksResume,
    ];

    /// Returns the word used in API, store and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActionsRead => "actions:read",
            Self::ActionsWrite => "actions:write",
            Self::ActionsComplete => "actions:complete",
            Self::ActionsCancel => "actions:cancel",
            Self::ActionsRetry => "actions:retry",
            Self::ActionsApprove => "actions:approve",
            Self::LinksCreate => "links:create",
            Self::ActionsUndo => "actions:undo",
            Self::UndoMarksRemove => "undo-marks:remove",
            Self::DeliveriesReplay => "deliveries:replay",
            Self::AuditRead => "audit:read",
            Self::KillSwitchOn => "kill-switch:on",
            Self::KillSwitchOff => "kill-switch:off",
            Self::PolicyWrite => "policy:write",
            Self::Metrics => "metrics",
            Self::TokensRead => "tokens:read",
            Self::TokensRevoke => "tokens:revoke",
            Self::CallbacksRead => "callbacks:read",
            Self::CallbacksReplay => "callbacks:replay",
            Self::CallbacksResume => "callbacks:resume",
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
