//! Who made something happen.

use std::fmt;
use std::str::FromStr;

use super::ids::{IdError, is_deceptive, shortened};

/// How many hexadecimal digits the id of an API token has.
const TOKEN_ID_LEN: usize = 12;

/// The longest id of a principal. An issuer's address and the longest `sub` (OpenID Connect Core 1.0, section 2) fit in.
const PRINCIPAL_ID_BYTES_MAX: usize = 512;

/// How many characters of a principal's name are shown.
const NAME_CHARS_MAX: usize = 100;

/// Who made a change happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// The sender, by its alert.
    Source,
    /// The bridge, by its rules.
    Bridge,
    /// Defender, by its answer.
    Defender,
    /// Whoever holds an API token.
    Token(Holder),
    /// Whoever an issuer's token proves.
    Principal(Principal),
    /// Whoever runs a command on the service's machine, by the name or number of the system.
    Operator(String),
}

/// Whoever holds an API token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The token's name.
    pub name: String,
    /// Its id; none where that was not kept.
    pub token: Option<String>,
}

/// Whom an issuer of tokens knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    id: PrincipalId,
    name: String,
}

impl Principal {
    /// Puts an id together with the name that the token gives. The name is for people: what it hides is left out.
    pub fn new(id: PrincipalId, name: &str) -> Self {
        let shown: String = name.chars().filter(|c| !is_deceptive(*c)).take(NAME_CHARS_MAX).collect();
        let shown = shown.trim();
        let name = if shown.is_empty() { id.to_string() } else { shown.to_owned() };
        Self { id, name }
    }

    /// Who it is, whatever it is called.
    pub fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// Says whether it is called by its id, for its token gave no name: then it is not known which tokens of ours it holds too.
    fn is_nameless(&self) -> bool {
        self.name == self.id.as_str()
    }

    fn read(text: &str) -> Option<Self> {
        let (name, id) = text.rsplit_once('#')?;
        Some(Self { id: id.parse().ok()?, name: name.to_owned() })
    }
}

/// What an issuer calls one principal for as long as it lives: the tenant or issuer, a slash, and `oid` or `sub`.
///
/// Printable ASCII without space and `#`, so that it ends where the kept text ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PrincipalId(String);

impl PrincipalId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrincipalId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_plain = |b: u8| b.is_ascii_graphic() && b != b'#';
        if (1..=PRINCIPAL_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        let problem = "must be 1 to 512 printable ASCII characters without space and #";
        Err(IdError::Text { what: "principal", problem, found: shortened(text) })
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Who {
    /// Returns the text that is kept: it tells those of one name apart.
    pub fn principal(&self) -> String {
        match self {
            Self::Token(Holder { token: Some(token), .. }) => format!("{self}#{token}"),
            Self::Principal(principal) => format!("{self}#{}", principal.id),
            Self::Token(_) | Self::Source | Self::Bridge | Self::Defender | Self::Operator(_) => {
                self.to_string()
            }
        }
    }

    /// Returns the id of the API token, if it is known.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Token(holder) => holder.token.as_deref(),
            Self::Source | Self::Bridge | Self::Defender | Self::Principal(_) | Self::Operator(_) => None,
        }
    }

    /// Returns what an issuer calls whoever its token proves.
    pub fn principal_id(&self) -> Option<&PrincipalId> {
        match self {
            Self::Principal(principal) => Some(&principal.id),
            Self::Source | Self::Bridge | Self::Defender | Self::Token(_) | Self::Operator(_) => None,
        }
    }

    /// Returns what all that one person holds has in common.
    ///
    /// With a token of ours it is the name and not the token: whoever has a new token when the old one ends is still who did
    /// what was done with the old one. How it is written makes nobody another person. With an issuer's it is the id, for
    /// there names change.
    pub fn person(&self) -> String {
        match self {
            Self::Token(holder) => format!("token:{}", folded(&holder.name)),
            Self::Principal(principal) => format!("oidc:{}", principal.id),
            Self::Source | Self::Bridge | Self::Defender | Self::Operator(_) => self.to_string(),
        }
    }

    /// Says whether two may be one person: for certain, or because a token of ours has the name that the issuer gives to a
    /// principal. One whose token gives no name may hold any token of ours: callers can ask their issuer for tokens without.
    pub fn may_be(&self, other: &Self) -> bool {
        let may_hold =
            |principal: &Principal| principal.is_nameless() || self.folded_name() == other.folded_name();
        match (self, other) {
            (Self::Token(_), Self::Principal(principal)) | (Self::Principal(principal), Self::Token(_)) => {
                may_hold(principal)
            }
            _ => self.person() == other.person(),
        }
    }

    /// Says whether it is somebody who was let in at the API: a person, or a program that a person answers for.
    pub fn is_caller(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Principal(_))
    }

    /// Says whether a caller bears the name of a source.
    pub fn is_namesake(&self, source: &str) -> bool {
        self.folded_name() == Some(source.to_lowercase())
    }

    /// Returns a caller's name however it is written.
    fn folded_name(&self) -> Option<String> {
        match self {
            Self::Token(holder) => Some(folded(&holder.name)),
            Self::Principal(principal) => Some(folded(&principal.name)),
            Self::Source | Self::Bridge | Self::Defender | Self::Operator(_) => None,
        }
    }
}

fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// As it is shown.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Bridge => f.write_str("bridge"),
            Self::Defender => f.write_str("defender"),
            Self::Token(holder) => write!(f, "token:{}", holder.name),
            Self::Principal(principal) => write!(f, "oidc:{}", principal.name),
            Self::Operator(name) => write!(f, "operator:{name}"),
        }
    }
}

/// A word that stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nobody")]
pub struct UnknownWho(String);

/// As it is kept, or, where no issuer is in it, as it is shown.
impl FromStr for Who {
    type Err = UnknownWho;

    fn from_str(text: &str) -> Result<Self, UnknownWho> {
        match text {
            "source" => Ok(Self::Source),
            "bridge" => Ok(Self::Bridge),
            "defender" => Ok(Self::Defender),
            _ => match text.split_once(':') {
                Some(("token", text)) => Ok(Self::Token(Holder::read(text))),
                Some(("oidc", text)) => {
                    Principal::read(text).map(Self::Principal).ok_or_else(|| unknown(text))
                }
                Some(("operator", name)) => Ok(Self::Operator(name.to_owned())),
                _ => Err(unknown(text)),
            },
        }
    }
}

fn unknown(text: &str) -> UnknownWho {
    UnknownWho(text.chars().take(40).collect())
}

impl Holder {
    fn read(text: &str) -> Self {
        let is_id = |id: &str| id.len() == TOKEN_ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.rsplit_once('#').filter(|(_, id)| is_id(id)) {
            Some((name, id)) => Self { name: name.to_owned(), token: Some(id.to_owned()) },
            None => Self { name: text.to_owned(), token: None },
        }
    }
}
