//! Secrets from files that not everybody can read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use secrecy::SecretString;

use super::reader::Section;

/// The longest secret file that is read.
const BYTES_MAX: u64 = 64 * 1024;

/// What others may not have on a secret file.
const OTHERS: u32 = 0o007;

/// Reads the secret that a table `{ file = "..." }` names.
pub(super) fn read(section: &Section<'_>) -> Option<SecretString> {
    let file = section.required_text(
        "file",
        "write { file = \"/run/secrets/name\" }: secrets are never in the configuration",
    )?;
    let path = section.resolve(file);
    match read_file(&path) {
        Ok(secret) => Some(secret),
        Err(SecretError { problem, remedy }) => {
            section.complain("file", format!("{}: {problem}", path.display()), &remedy);
            None
        }
    }
}

/// What is wrong with a secret file. Never holds its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct SecretError {
    problem: String,
    remedy: String,
}

/// Reads a secret file, without the newline at its end.
pub fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let error = |problem: String, remedy: String| SecretError { problem, remedy };
    let metadata = fs::metadata(path).map_err(|why| {
        error(format!("cannot be read: {why}"), "make the file, readable by the service".to_owned())
    })?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(error(
            "is not a small regular file".to_owned(),
            "put the secret alone into a file".to_owned(),
        ));
    }
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS != 0 {
        let remedy = format!("run: chmod o-rwx {}", path.display());
        return Err(error(format!("is open to everybody (mode {mode:04o})"), remedy));
    }
    let text = fs::read_to_string(path).map_err(|why| {
        error(format!("cannot be read: {why}"), "make it readable by the service, as text".to_owned())
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(error("is empty".to_owned(), "put the secret into it".to_owned()));
    }
    Ok(secret.to_owned().into())
}
