//! How far a source may go.

use std::fmt;
use std::str::FromStr;

/// What the bridge may do for a source; ordered from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Decide and record, never call.
    Shadow,
    /// Hold every action for a person.
    Approve,
    /// Call when every guard passes.
    Enforce,
}

impl Mode {
    /// All modes, the most careful first.
    pub const ALL: [Self; 3] = [Self::Shadow, Self::Approve, Self::Enforce];

    /// Returns the word used in config, API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Approve => "approve",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is none of the three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mode must be shadow, approve or enforce, found {0:?}")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| UnknownMode(text.chars().take(40).collect()))
    }
}
