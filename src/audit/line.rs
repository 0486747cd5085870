//! The record as lines: the digest and the entry of each, byte for byte as they are kept.

use super::digest::Digest;

/// What stands around the digest and the entry. The whole line is JSON.
const BEFORE_DIGEST: &str = "{\"hash\":\"";
const BEFORE_ENTRY: &str = "\",\"entry\":";
const END: &[u8] = b"}";

/// How many digits a digest has.
const DIGITS: usize = 64;

/// Writes an entry as a line, without the newline.
pub fn record_line(text: &str, digest: Digest) -> String {
    format!("{BEFORE_DIGEST}{digest}{BEFORE_ENTRY}{text}}}")
}

/// Reads a line, without its newline; `None` if not every byte of it is as [`record_line`] writes it.
pub fn read_line(line: &[u8]) -> Option<(&[u8], Digest)> {
    let rest = line.strip_prefix(BEFORE_DIGEST.as_bytes())?;
    let (digest, rest) = rest.split_at_checked(DIGITS)?;
    let text = rest.strip_prefix(BEFORE_ENTRY.as_bytes())?.strip_suffix(END)?;
    let digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    Some((text, digest))
}
