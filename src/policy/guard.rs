//! The guards by name, and what each may say.

use std::fmt;
use std::str::FromStr;

/// A guard. The order is the one in which they are asked and in which reasons are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// The source is configured.
    Source,
    /// The alert is severe enough, and of a severity that the source may act on.
    Severity,
    /// The alert is not too old.
    Age,
    /// Device and file are known.
    Target,
    /// The alert does not name more pairs than one alert may.
    Targets,
    /// The device's system is one on which Defender quarantines files.
    Os,
    /// The device is onboarded, well, and was seen lately.
    DeviceState,
    /// The device is not protected.
    ProtectedDevice,
    /// The file is not on the list of files that are never quarantined.
    ProtectedFile,
    /// The file is not signed by Microsoft.
    MicrosoftSigned,
    /// The file is not signed by a publisher that is trusted.
    TrustedPublisher,
    /// Defender does not hold the file for a clean one.
    Determination,
    /// The file is not widely spread.
    Prevalence,
    /// The file was seen on the device.
    SeenOnDevice,
    /// Nobody has undone a quarantine of this file on this device.
    Undone,
    /// The file was not quarantined on this device a short while before the alert.
    CoolDown,
    /// No change freeze is in force.
    ChangeFreeze,
    /// Not too much was done lately.
    BlastRadius,
    /// The breaker on blast radius is closed, or a person has approved the action.
    BlastBreaker,
    /// The source is not new.
    FirstActions,
    /// The source is not in mode approve.
    Mode,
}

impl Guard {
    /// All guards, in order.
    pub const ALL: [Self; 21] = [
        Self::Source,
        Self::Severity,
        Self::Age,
        Self::Target,
        Self::Targets,
        Self::Os,
        Self::DeviceState,
        Self::ProtectedDevice,
        Self::ProtectedFile,
        Self::MicrosoftSigned,
        Self::TrustedPublisher,
        Self::Determination,
        Self::Prevalence,
        Self::SeenOnDevice,
        Self::Undone,
        Self::CoolDown,
        Self::ChangeFreeze,
        Self::BlastRadius,
        Self::BlastBreaker,
        Self::FirstActions,
        Self::Mode,
    ];

    /// The guards that look at an action, in order. `Source` and `Mode` are about what is configured.
    pub fn of_actions() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|guard| !matches!(guard, Self::Source | Self::Mode))
    }

    /// The guards that the configuration can switch.
    pub fn switchable() -> impl Iterator<Item = Self> {
        Self::of_actions().filter(|guard| !matches!(guard, Self::Severity | Self::Age | Self::Target))
    }

    /// Returns the word used in config, API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Severity => "severity",
            Self::Age => "age",
            Self::Target => "target",
            Self::Targets => "targets",
            Self::Os => "os",
            Self::DeviceState => "device_state",
            Self::ProtectedDevice => "protected_device",
            Self::ProtectedFile => "protected_file",
            Self::MicrosoftSigned => "microsoft_signed",
            Self::TrustedPublisher => "trusted_publisher",
            Self::Determination => "determination",
            Self::Prevalence => "prevalence",
            Self::SeenOnDevice => "seen_on_device",
            Self::Undone => "undone",
            Self::CoolDown => "cool_down",
            Self::ChangeFreeze => "change_freeze",
            Self::BlastRadius => "blast_radius",
            Self::BlastBreaker => "blast_breaker",
            Self::FirstActions => "first_actions",
            Self::Mode => "mode",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no guard {0:?}")]
pub struct UnknownGuard(String);

impl FromStr for Guard {
    type Err = UnknownGuard;

    fn from_str(text: &str) -> Result<Self, UnknownGuard> {
        let found = Self::ALL.into_iter().find(|guard| guard.as_str() == text);
        found.ok_or_else(|| UnknownGuard(text.chars().take(40).collect()))
    }
}

/// What a guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Nothing against it.
    Pass,
    /// A person must look: it is doubtful, or a fact is missing.
    Hold,
    /// No.
    Deny,
    /// Too late.
    Expire,
}

impl Answer {
    /// All answers, the mildest first.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Hold, Self::Deny, Self::Expire];

    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Expire => "expire",
        }
    }
}

/// What one guard found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which guard.
    pub guard: Guard,
    /// What it says.
    pub answer: Answer,
    /// The facts it looked at, for a person.
    pub evidence: String,
    /// How many persons must approve, if it holds; `None` where no approval helps, because something is missing.
    pub approvers: Option<u8>,
}

impl Finding {
    /// Returns the line that the history of an action keeps.
    pub fn line(&self) -> String {
        format!("{}: {}, {}", self.guard, self.answer.as_str(), self.evidence)
    }

    /// Reads guard and answer back from such a line.
    pub fn read(line: &str) -> Option<(Guard, Answer)> {
        let (guard, rest) = line.split_once(": ")?;
        let (word, _) = rest.split_once(',')?;
        let answer = Answer::ALL.into_iter().find(|answer| answer.as_str() == word)?;
        Some((guard.parse().ok()?, answer))
    }
}
