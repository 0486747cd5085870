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
    pub fn only(&self, name: &'static str) -> Result<&str, VerifyError> {
        let mut values = self.0.iter().filter(|(have, _)| have == name).map(|(_, value)| value);
        let value = values.next().ok_or(VerifyError::HeaderMissing(name))?;
        if values.next().is_some() {
            return Err(VerifyError::HeaderRepeated(name));
        }
        let printable = value.iter().all(|b| (b' '..=b'~').contains(b));
        if !printable || value.len() > VALUE_BYTES_MAX {
            return Err(VerifyError::HeaderMalformed(name));
        }
        str::from_utf8(value).or(Err(VerifyError::HeaderMalformed(name)))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let owned = |(name, value): (N, V)| (name.as_ref().to_ascii_lowercase(), value.as_ref().to_owned());
        Self(headers.into_iter().map(owned).collect())
    }
}
