//! How much may be done in a while: rows of a maximum, a period, and what is counted apart.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

/// What a limit counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKey {
    /// Each file by its SHA1.
    Hash,
    /// Each device.
    Device,
    /// Each source.
    Source,
    /// Each rule of a source: the alert's title stands for it.
    Rule,
}

impl LimitKey {
    /// All keys.
    pub const ALL: [Self; 4] = [Self::Hash, Self::Device, Self::Source, Self::Rule];

    /// Returns the word used in config and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Device => "device",
            Self::Source => "source",
            Self::Rule => "rule",
        }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that no limit can count by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not hash, device, source or rule")]
pub struct UnknownLimitKey(String);

impl FromStr for LimitKey {
    type Err = UnknownLimitKey;

    fn from_str(text: &str) -> Result<Self, UnknownLimitKey> {
        let found = Self::ALL.into_iter().find(|key| key.as_str() == text);
        found.ok_or_else(|| UnknownLimitKey(text.chars().take(40).collect()))
    }
}

/// No more actions than `max` in any `period`, counted apart by the keys; without keys, over all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub max: u32,
    /// In how long.
    pub period: SignedDuration,
    /// Counted apart by these, each once, in order.
    pub keys: Vec<LimitKey>,
}

impl Limit {
    /// Makes a limit; the order of the keys does not matter.
    pub fn new(max: u32, period: SignedDuration, keys: &[LimitKey]) -> Self {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        Self { max, period, keys }
    }

    /// Says whether this many leave no room for another.
    pub fn is_used_up(&self, count: u64) -> bool {
        count >= u64::from(self.max)
    }

    /// Returns what names the count that it looks at, such as `hash, 3600 s`. The maximum is no part of it.
    pub fn label(&self) -> String {
        let keys: Vec<&str> = self.keys.iter().map(|key| key.as_str()).collect();
        let keys = if keys.is_empty() { "all".to_owned() } else { keys.join("+") };
        format!("{keys}, {} s", self.period.as_secs())
    }
}

/// The limits if the configuration does not say (reference, safety 3.3).
pub fn default_limits() -> Vec<Limit> {
    let (minutes, hours) = (SignedDuration::from_mins, SignedDuration::from_hours);
    vec![
        Limit::new(5, hours(1), &[LimitKey::Hash]),
        Limit::new(20, hours(24), &[LimitKey::Hash]),
        Limit::new(3, hours(1), &[LimitKey::Device]),
        Limit::new(30, hours(1), &[LimitKey::Source]),
        Limit::new(20, minutes(10), &[]),
        Limit::new(100, hours(24), &[]),
    ]
}

/// The longest period of a limit; what is older is forgotten.
pub const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(31 * 24);
