//! Who made something happen.

use std::fmt;
use std::str::FromStr;

/// How many hexadecimal digits the id of an API token has.
const TOKEN_ID_LEN: usize = 12;

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

impl Who {
    /// Returns the text that is kept: it tells the tokens of one name apart.
    pub fn principal(&self) -> String {
        match self.token() {
            Some(token) => format!("{self}#{token}"),
            None => self.to_string(),
        }
    }

    /// Returns the id of the API token, if it is known.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Token(holder) => holder.token.as_deref(),
            Self::Source | Self::Bridge | Self::Defender | Self::Operator(_) => None,
        }
    }

    /// Returns what all that one person holds has in common.
    ///
    /// It is the name and not the token: whoever has a new token when the old one ends is still who did what was done with the
    /// old one. How it is written makes nobody another person.
    pub fn person(&self) -> String {
        match self {
            Self::Token(holder) => format!("token:{}", holder.folded()),
            Self::Source | Self::Bridge | Self::Defender | Self::Operator(_) => self.to_string(),
        }
    }

    /// Says whether a token bears the name of a source.
    pub fn is_namesake(&self, source: &str) -> bool {
        matches!(self, Self::Token(holder) if holder.folded() == source.to_lowercase())
    }
}

/// As it is shown.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Bridge => f.write_str("bridge"),
            Self::Defender => f.write_str("defender"),
            Self::Token(holder) => write!(f, "token:{}", holder.name),
            Self::Operator(name) => write!(f, "operator:{name}"),
        }
    }
}

/// A word that stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nobody")]
pub struct UnknownWho(String);

/// As it is shown, or as it is kept.
impl FromStr for Who {
    type Err = UnknownWho;

    fn from_str(text: &str) -> Result<Self, UnknownWho> {
        match text {
            "source" => Ok(Self::Source),
            "bridge" => Ok(Self::Bridge),
            "defender" => Ok(Self::Defender),
            _ => match text.split_once(':') {
                Some(("token", text)) => Ok(Self::Token(Holder::read(text))),
                Some(("operator", name)) => Ok(Self::Operator(name.to_owned())),
                _ => Err(UnknownWho(text.chars().take(40).collect())),
            },
        }
    }
}

impl Holder {
    /// Returns the name however it is written.
    fn folded(&self) -> String {
        self.name.trim().to_lowercase()
    }

    fn read(text: &str) -> Self {
        let is_id = |id: &str| id.len() == TOKEN_ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.rsplit_once('#').filter(|(_, id)| is_id(id)) {
            Some((name, id)) => Self { name: name.to_owned(), token: Some(id.to_owned()) },
            None => Self { name: text.to_owned(), token: None },
        }
    }
}
