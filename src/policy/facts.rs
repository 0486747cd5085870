//! What guards look at: plain values, each known or not known and why.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

/// How far in the future an answer may lie before the clock is not believed.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A fact, or why it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// It is this.
    Known(T),
    /// It could not be learned. The text says why, for a person.
    Unknown(String),
}

impl<T> Fact<T> {
    /// Takes what a record says; what is absent in it is not known.
    pub fn of(value: Option<T>, what: &str) -> Self {
        value.map_or_else(|| Self::Unknown(format!("Defender's record has no {what}")), Self::Known)
    }

    /// Returns the value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self::Unknown("it was not asked for".to_owned())
    }
}

/// As golden cases write it: the value itself, or `{"unknown": "why"}`.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Unknown {
            unknown: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<T> {
            Unknown(Unknown),
            Known(T),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Unknown(it) => Self::Unknown(it.unknown),
            Written::Known(value) => Self::Known(value),
        })
    }
}

/// What is known of one action's device and file, and of what we have done before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// When the oldest of Defender's answers was asked for; `None` if none was needed.
    pub learned_at: Option<Timestamp>,
    /// The device.
    pub device: DeviceFacts,
    /// The file.
    pub file: FileFacts,
    /// Whether Defender has seen the file on the device.
    pub seen_on_device: Fact<bool>,
    /// Our own records.
    pub own: OwnFacts,
}

/// What Defender says of the device. Words are as Defender writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceFacts {
    /// Its DNS name.
    pub name: Fact<String>,
    /// Its system, such as `Windows11`.
    pub os_platform: Fact<String>,
    /// The version of its system, such as `1709` or `23H2`.
    pub os_version: Fact<String>,
    /// The build of its system.
    pub os_build: Fact<u64>,
    /// `Onboarded` or not.
    pub onboarding: Fact<String>,
    /// `Active`, `Inactive`, or a kind of trouble.
    pub health: Fact<String>,
    /// When it last sent a full report.
    pub last_seen: Fact<Timestamp>,
    /// Its tags.
    pub tags: Fact<Vec<String>>,
    /// Its device group, if it is in one.
    pub group: Fact<Option<String>>,
    /// `Normal`, `Low` or `High`, if somebody has set it.
    pub value: Fact<Option<String>>,
}

/// What Defender says of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileFacts {
    /// Whom its certificate names, if it is signed.
    pub signer: Fact<Option<String>>,
    /// Who issued its certificate, if it is signed.
    pub issuer: Fact<Option<String>>,
    /// Whether its certificate was verified.
    pub is_certificate_valid: Fact<bool>,
    /// What Defender holds it for.
    pub determination: Fact<String>,
    /// On how many devices of the organisation it was seen in the last 30 days.
    pub organisation_prevalence: Fact<u64>,
    /// On how many devices of the world it was seen.
    pub global_prevalence: Fact<u64>,
}

/// What our own records say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnFacts {
    /// How many pairs of device and file the alert names.
    pub targets_of_alert: Fact<u64>,
    /// When this file was last quarantined on this device, as far as we know.
    pub last_quarantined_at: Fact<Option<Timestamp>>,
    /// The end of the mark that says that a quarantine of this file on this device was undone, if there is one.
    pub undone_until: Fact<Option<Timestamp>>,
    /// How many actions each limit counts already, without this one; by the limit's label.
    pub counts: Fact<BTreeMap<String, u64>>,
    /// Since when the breaker on blast radius is open, if it is.
    pub blast_breaker_since: Fact<Option<Timestamp>>,
    /// How many actions the source had so far.
    pub actions_of_source: Fact<u64>,
}

impl Facts {
    /// Returns the facts as they may be used now: what Defender said too long ago is not known any more.
    #[must_use]
    pub fn as_of(&self, now: Timestamp, max_age: SignedDuration) -> Self {
        let Some(age) = self.learned_at.map(|at| now.duration_since(at)) else {
            return self.clone();
        };
        // An answer from the future means that the clock was set back; how old it is is not known.
        if age <= max_age && age >= CLOCK_SKEW.checked_neg().unwrap_or_default() {
            return self.clone();
        }
        let why = format!("it was learned {} s ago, the limit is {} s", age.as_secs(), max_age.as_secs());
        Self::unknown(&why, self.own.clone())
    }

    /// What it is like when Defender's part cannot be learned.
    pub fn unknown(why: &str, own: OwnFacts) -> Self {
        Self {
            learned_at: None,
            device: DeviceFacts::unknown(why),
            file: FileFacts::unknown(why),
            seen_on_device: Fact::Unknown(why.to_owned()),
            own,
        }
    }
}

impl DeviceFacts {
    /// Nothing is known of the device.
    pub fn unknown(why: &str) -> Self {
        let why = || why.to_owned();
        Self {
            name: Fact::Unknown(why()),
            os_platform: Fact::Unknown(why()),
            os_version: Fact::Unknown(why()),
            os_build: Fact::Unknown(why()),
            onboarding: Fact::Unknown(why()),
            health: Fact::Unknown(why()),
            last_seen: Fact::Unknown(why()),
            tags: Fact::Unknown(why()),
            group: Fact::Unknown(why()),
            value: Fact::Unknown(why()),
        }
    }
}

impl FileFacts {
    /// Nothing is known of the file.
    pub fn unknown(why: &str) -> Self {
        let mut facts = Self::default();
        facts.set_record_unknown(why);
        facts.set_prevalence_unknown(why);
        facts
    }

    /// Nothing is known of the file's record.
    pub fn set_record_unknown(&mut self, why: &str) {
        self.signer = Fact::Unknown(why.to_owned());
        self.issuer = Fact::Unknown(why.to_owned());
        self.is_certificate_valid = Fact::Unknown(why.to_owned());
        self.determination = Fact::Unknown(why.to_owned());
    }

    /// Nothing is known of how widely the file is spread.
    pub fn set_prevalence_unknown(&mut self, why: &str) {
        self.organisation_prevalence = Fact::Unknown(why.to_owned());
        self.global_prevalence = Fact::Unknown(why.to_owned());
    }
}
