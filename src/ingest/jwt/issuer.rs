//! Who issues tokens, and where its keys are.

use url::Url;

/// An issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// Its name: the exact text of the claim `iss`.
    pub name: String,
    /// Where its keys are.
    pub keys: KeyAddress,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyAddress {
    /// The key set itself (RFC 7517).
    Jwks(Url),
    /// The document that says where the key set is (OpenID Connect Discovery 1.0, section 4).
    Discovery(Url),
}

impl KeyAddress {
    /// Returns the address.
    pub fn url(&self) -> &Url {
        match self {
            Self::Jwks(url) | Self::Discovery(url) => url,
        }
    }

    /// Returns where an issuer's discovery document is, or nothing if the issuer's name is no address.
    pub fn discovered(issuer: &str) -> Option<Self> {
        // A slash at the end of the name is taken off first (section 4.1).
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = Url::parse(&format!("{base}/.well-known/openid-configuration")).ok()?;
        (url.query().is_none() && url.fragment().is_none()).then_some(Self::Discovery(url))
    }
}
