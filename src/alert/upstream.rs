//! The parts of Microsoft's service that dispatch depends on, and how each does.

use std::fmt;

use jiff::Timestamp;

/// A part of Microsoft's service that is left alone when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// Defender's StopAndQuarantineFile.
    Quarantine,
    /// Defender's list of machine actions.
    MachineActions,
    /// What hands out tokens: Entra ID, or a managed identity's endpoint.
    Token,
}

impl Upstream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quarantine, Self::MachineActions, Self::Token];

    /// Returns the word used in API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::MachineActions => "machine_actions",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an upstream is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// It cannot be reached, or does not answer.
    Unreachable,
    /// What it answers says nothing: 5xx, a lost answer, something that cannot be read.
    NoClearAnswer,
    /// It does not take the token (401).
    Unauthorized,
    /// It takes the token and does not allow the call (403): a role, consent, or a restriction by address or tenant.
    Forbidden,
    /// There is no token for what is configured.
    TokenRefused,
    /// The token lacks an app role.
    RoleMissing,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::NoClearAnswer,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TokenRefused,
        Self::RoleMissing,
    ];

    /// Returns the word used in API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NoClearAnswer => "no_clear_answer",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TokenRefused => "token_refused",
            Self::RoleMissing => "role_missing",
        }
    }

    /// Says whether it is a clear no to whoever asks: it does not pass by itself, and every call would meet it.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Unreachable | Self::NoClearAnswer => false,
            Self::Unauthorized | Self::Forbidden | Self::TokenRefused | Self::RoleMissing => true,
        }
    }

    /// Returns what a person should do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => "check name resolution, firewall and proxy between this host and Microsoft",
            Self::NoClearAnswer => "nothing if it passes; else see Microsoft's service health",
            Self::Unauthorized => "check defender.scope, tenant_id and api_url, and this host's clock",
            Self::Forbidden => {
                "check the app registration's roles Machine.StopAndQuarantine and Machine.Read.All, their admin \
                 consent, and conditional access or restrictions by address or tenant"
            }
            Self::TokenRefused => {
                "check tenant_id, client_id and the credential in [defender], and that the secret or certificate has not ended"
            }
            Self::RoleMissing => "add the app role to the app registration, with admin consent",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// One call is under way to find out.
    Probing,
}

impl BreakerState {
    /// Returns the word used in API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

/// How an upstream does, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerReport {
    /// Which.
    pub upstream: Upstream,
    /// Where its breaker stands.
    pub state: BreakerState,
    /// What it is about, unless the breaker is closed.
    pub open: Option<OpenBreaker>,
}

/// Why and since when an upstream is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBreaker {
    /// What is wrong.
    pub trouble: Trouble,
    /// What it said last, or what went wrong, for a person.
    pub said: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again; `None` while that is under way.
    pub next_try_at: Option<Timestamp>,
}
