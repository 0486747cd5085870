//! Header hygiene: each header that proves something is there exactly once and well formed.

use super::VerifyError;

/// The longest header value taken.
const VALUE_BYTES_MAX: usize = 4096;

/// The headers of one request, in order, names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Says whether a header of this lower-case name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(have, _)| have == name)
    }

    /// Returns the only value of a header.
    ///
    /// Proxies disagree on which of two equal headers counts, so two are refused.
    pub fn only(&self, name: &str) -> Result<&str, VerifyError> {
        self.only_within(name, VALUE_BYTES_MAX)
    }

    /// Returns the only value of a header that may be longer or must be shorter than usual.
    pub fn only_within(&self, name: &str, bytes_max: usize) -> Result<&str, VerifyError> {
        let mut values = self.all(name);
        let value = values.next().ok_or_else(|| VerifyError::HeaderMissing(name.to_owned()))?;
        if values.next().is_some() {
            return Err(VerifyError::HeaderRepeated(name.to_owned()));
        }
        let malformed = || VerifyError::HeaderMalformed(name.to_owned());
        let printable = value.iter().all(|b| (b' '..=b'~').contains(b));
        if !printable || value.len() > bytes_max {
            return Err(malformed());
        }
        str::from_utf8(value).or(Err(malformed()))
    }

    /// Returns every value of a header, in order, as it came.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_slice())
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let owned = |(name, value): (N, V)| (name.as_ref().to_ascii_lowercase(), value.as_ref().to_owned());
        Self(headers.into_iter().map(owned).collect())
    }
}
