//! Why it is not known which device and file an alert means.

use std::fmt;
use std::str::FromStr;

/// Why a pair of entities could not be made a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// Which kind of reason.
    pub reason: HeldReason,
    /// What was found, for a person.
    pub evidence: String,
}

impl Unresolved {
    /// Puts reason and evidence together.
    pub fn new(reason: HeldReason, evidence: impl Into<String>) -> Self {
        Self { reason, evidence: evidence.into() }
    }
}

/// The kinds of reasons for which a person must complete an action, a fixed list: callers and metrics depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeldReason {
    /// The alert names several devices, or none, and does not say which one had this file.
    AmbiguousPair,
    /// The alert names no device in a way that the source may be resolved by.
    MachineNotNamed,
    /// Defender does not know the device.
    MachineUnknown,
    /// Several devices fit, or Defender suspects a duplication.
    MachineAmbiguous,
    /// The devices that fit are not onboarded, not active or not Windows.
    MachineNotOnboarded,
    /// What the alert says of the device does not agree with what Defender says of it.
    MachinesDisagree,
    /// Several devices had the address then, or the one that had it has another now.
    IpAmbiguous,
    /// The alert names no file in a way that the source may be resolved by.
    FileNotNamed,
    /// Defender does not know the file.
    FileUnknown,
    /// Defender's record of the file does not have the hash that was asked for, or no SHA1.
    FileHashMismatch,
    /// The token has no right to read files.
    FileLookupForbidden,
    /// Defender refused to look the device or file up.
    LookupRefused,
    /// The alert is not acted on whatever it names, so nothing was looked up. No action is held for it.
    NotLookedUp,
}

impl HeldReason {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::AmbiguousPair,
        Self::MachineNotNamed,
        Self::MachineUnknown,
        Self::MachineAmbiguous,
        Self::MachineNotOnboarded,
        Self::MachinesDisagree,
        Self::IpAmbiguous,
        Self::FileNotNamed,
        Self::FileUnknown,
        Self::FileHashMismatch,
        Self::FileLookupForbidden,
        Self::LookupRefused,
        Self::NotLookedUp,
    ];

    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmbiguousPair => "ambiguous_pair",
            Self::MachineNotNamed => "machine_not_named",
            Self::MachineUnknown => "machine_unknown",
            Self::MachineAmbiguous => "machine_ambiguous",
            Self::MachineNotOnboarded => "machine_not_onboarded",
            Self::MachinesDisagree => "machines_disagree",
            Self::IpAmbiguous => "ip_ambiguous",
            Self::FileNotNamed => "file_not_named",
            Self::FileUnknown => "file_unknown",
            Self::FileHashMismatch => "file_hash_mismatch",
            Self::FileLookupForbidden => "file_lookup_forbidden",
            Self::LookupRefused => "lookup_refused",
            Self::NotLookedUp => "not_looked_up",
        }
    }
}

impl fmt::Display for HeldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason {0:?}")]
pub struct UnknownHeldReason(String);

impl FromStr for HeldReason {
    type Err = UnknownHeldReason;

    fn from_str(text: &str) -> Result<Self, UnknownHeldReason> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| UnknownHeldReason(text.chars().take(40).collect()))
    }
}
