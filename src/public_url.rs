//! The address at which others reach the service.

use std::str::FromStr;

use url::Url;

use crate::outgoing::is_safe_on_the_way;

/// The address at which others reach the service, with the path that a proxy in front may have put before ours.
///
/// It is told, never taken from a request: whoever asks can write any `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Why a text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It is no URL.
    #[error("it is no URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// It is neither HTTPS nor leads to this machine.
    #[error("it must begin with https://, unless it leads to this machine")]
    NotHttps,
    /// It has parts that would be lost or would leak.
    #[error("it must have neither user, query nor fragment")]
    MoreThanAPlace,
}

impl PublicUrl {
    /// Returns the whole address of one of our paths, which begins with a slash.
    pub fn to(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Returns what a browser calls the origin of our pages.
    pub fn origin(&self) -> String {
        Url::parse(&self.0).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text)?;
        if !is_safe_on_the_way(&url) {
            return Err(PublicUrlError::NotHttps);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::MoreThanAPlace);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}
