//! A device's name, safe to compare and to ask Defender for.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use super::ids::{IdError, shortened};

/// The longest name of DNS, in characters (RFC 1035, section 2.3.4).
const NAME_CHARS_MAX: usize = 253;

/// The longest label of DNS, in characters.
const LABEL_CHARS_MAX: usize = 63;

/// The longest `NetBIOS` name of a computer, in characters. Longer host names are cut to it.
const NETBIOS_CHARS_MAX: usize = 15;

/// A device's DNS name, or its host name alone: labels of `a-z`, `0-9`, `-` and `_`, in lower case.
///
/// Nothing else is taken, so it needs no escaping anywhere, and no other letter can look like one of these. A full stop
/// at the end, which only says that the name is complete, and the `$` of a computer's account are taken off. Addresses and
/// names for "this computer" are refused: they name the sender's own surroundings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// Returns the name as text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host name: the first label.
    pub fn host_name(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// Says whether it is a host name alone.
    pub fn is_bare(&self) -> bool {
        !self.0.contains('.')
    }

    /// Says whether it may be the beginning of a longer host name: `NetBIOS` cuts after 15 characters.
    pub fn may_be_cut(&self) -> bool {
        self.is_bare() && self.0.len() == NETBIOS_CHARS_MAX
    }

    /// Says whether both may name one device: they are equal, or one is the host name of the other.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let one_is_bare = self.is_bare() || other.is_bare();
        self == other || (one_is_bare && self.host_name() == other.host_name())
    }
}

impl FromStr for DnsName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let account = text.strip_suffix('$').filter(|name| !name.contains('.'));
        let name = account.or_else(|| text.strip_suffix('.')).unwrap_or(text).to_ascii_lowercase();
        match problem(&name) {
            None => Ok(Self(name)),
            Some(problem) => Err(IdError::Text { what: "device name", problem, found: shortened(text) }),
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn problem(name: &str) -> Option<&'static str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let well_formed = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > NAME_CHARS_MAX {
        Some("is longer than 253 characters")
    } else if looks_like_address(name) {
        Some("is an address, not a name")
    } else if !name.split('.').all(well_formed) {
        Some("must be labels of letters, digits, - and _, joined by full stops")
    } else if name.split('.').next() == Some("localhost") {
        Some("means this computer, whichever that is")
    } else {
        None
    }
}

/// Says whether a program may take a name for an address: its last label is a number (WHATWG URL, section 3.5), decimal or
/// hexadecimal.
fn looks_like_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let digits = last.strip_prefix("0x");
    let is_hex = digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    is_decimal || is_hex || name.parse::<IpAddr>().is_ok()
}
