//! Identifiers that cannot be built from bad input.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest alert id taken. Azure resource ids, the longest seen, stay under 400 characters.
const ALERT_ID_CHARS_MAX: usize = 512;

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not the right number of hexadecimal digits.
    #[error("{what} must be {digits} hexadecimal digits, found {found:?}")]
    NotHex {
        /// What was being read.
        what: &'static str,
        /// How many digits it has.
        digits: usize,
        /// The text found, shortened.
        found: String,
    },
    /// A well-formed hash that stands for no file.
    #[error("{0} is a placeholder, not the hash of a file")]
    Placeholder(String),
    /// Empty, too long, or with characters that have no place in an identifier.
    #[error("{what} {problem}, found {found:?}")]
    Text {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// The text found, shortened.
        found: String,
    },
}

/// The sender's id of an alert, verbatim.
///
/// At most 512 characters, none of them control, line-breaking, invisible or text-reversing: the id goes into
/// Defender's comment, logs and pages that people read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(String);

impl AlertId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AlertId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let problem = if text.is_empty() {
            "is empty"
        } else if text.chars().count() > ALERT_ID_CHARS_MAX {
            "is longer than 512 characters"
        } else if text.trim() != text {
            "begins or ends with white space"
        } else if text.chars().any(is_deceptive) {
            "holds control or invisible characters"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(IdError::Text { what: "alert id", problem, found: shortened(text) })
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says whether a character hides itself or changes how the text around it is shown.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Name of a configured sender: 1 to 64 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(String);

impl SourceName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        configured_name("source name", text).map(Self)
    }
}

/// Reads a name of something that the configuration has many of: it goes into addresses, labels and log lines.
fn configured_name(what: &'static str, text: &str) -> Result<String, IdError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let well_formed = (1..=64).contains(&text.len())
        && text.starts_with(plain)
        && text.chars().all(|c| plain(c) || c == '-' || c == '_');
    if well_formed {
        return Ok(text.to_owned());
    }
    let problem = "must be 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit";
    Err(IdError::Text { what, problem, found: shortened(text) })
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a configured callback, of the same form as a source's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallbackName(String);

impl CallbackName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallbackName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        configured_name("callback name", text).map(Self)
    }
}

impl fmt::Display for CallbackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A delivery id that its signature covers: 1 to 128 of `A-Z`, `a-z`, `0-9`, `-` and `_`.
///
/// No full stop, so that the signed text `id.timestamp.body` can be read in one way only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedId(String);

impl SignedId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SignedId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=128).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let problem = "must be 1 to 128 letters, digits, - and _";
        Err(IdError::Text { what: "delivery id", problem, found: shortened(text) })
    }
}

impl fmt::Display for SignedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our id of an action: a UUID of version 7, so that ids sort by the time they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(Uuid);

/// Our id of a delivery: a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Uuid);

impl ActionId {
    /// Wraps a UUID.
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl DeliveryId {
    /// Wraps a UUID.
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

fn from_uuid(what: &'static str, text: &str) -> Result<Uuid, IdError> {
    match text.parse() {
        Ok(uuid) => Ok(uuid),
        Err(_) => Err(IdError::Text { what, problem: "must be a UUID", found: shortened(text) }),
    }
}

impl FromStr for ActionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        from_uuid("action id", text).map(Self)
    }
}

impl FromStr for DeliveryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        from_uuid("delivery id", text).map(Self)
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Entra ID's id of a device, a GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AadDeviceId(Uuid);

impl FromStr for AadDeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let uuid = from_uuid("Entra device id", text)?;
        if uuid.is_nil() {
            let problem = "is all zeros, which names no device";
            return Err(IdError::Text { what: "Entra device id", problem, found: shortened(text) });
        }
        Ok(Self(uuid))
    }
}

impl TryFrom<String> for AadDeviceId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AadDeviceId> for String {
    fn from(id: AadDeviceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for AadDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Defender's id of its own machine action: 1 to 128 letters, digits and `-`, normally a GUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineActionId(String);

impl MachineActionId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MachineActionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if (1..=128).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let problem = "must be 1 to 128 letters, digits and -";
        Err(IdError::Text { what: "machine action id", problem, found: shortened(text) })
    }
}

impl fmt::Display for MachineActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps an error text readable when the input was huge.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}
