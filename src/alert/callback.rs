//! What callbacks are told, and how far that has come.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

/// What a callback is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// An action has come to its end.
    Finished,
    /// An action waits for a person.
    Held,
    /// An action still waits for a person.
    Reminder,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Finished, Self::Held, Self::Reminder];

    /// Returns the word used in messages, configuration, store and API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "action.finished",
            Self::Held => "action.held",
            Self::Reminder => "action.reminder",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no type of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event {0:?}; there are {there_are}", there_are = EventType::ALL.map(EventType::as_str).join(", "))]
pub struct UnknownEventType(String);

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownEventType(text.chars().take(40).collect()))
    }
}

/// How far a message to a callback has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// It is to be sent, or to be sent again.
    Queued,
    /// The callback has taken it.
    Delivered,
    /// It was given up; a person can have it sent again.
    Dead,
}

impl MessageState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queued, Self::Delivered, Self::Dead];

    /// Returns the word used in API, store and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no state of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state {0:?}; there are queued, delivered and dead")]
pub struct UnknownMessageState(String);

impl FromStr for MessageState {
    type Err = UnknownMessageState;

    fn from_str(text: &str) -> Result<Self, UnknownMessageState> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownMessageState(text.chars().take(40).collect()))
    }
}

/// When a callback is reminded of an action that waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remind {
    /// When it has waited for so long.
    After(SignedDuration),
    /// When it expires in so long.
    BeforeExpiry(SignedDuration),
}

impl Remind {
    /// Returns a word that tells it from the others.
    pub fn word(self) -> String {
        match self {
            Self::After(age) => format!("after{}", age.as_secs()),
            Self::BeforeExpiry(rest) => format!("before{}", rest.as_secs()),
        }
    }
}
