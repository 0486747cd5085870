//! Secrets: files that not everybody can read, systemd's credentials, and, where it is allowed, the environment.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::reader::Section;

/// The longest secret file that is read.
const BYTES_MAX: u64 = 64 * 1024;

/// What others may not have on a secret file.
const OTHERS: u32 = 0o007;

/// Where systemd puts credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A secret, and the key that says where it is.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) key: &'static str,
    pub(super) text: SecretString,
}

/// Reads the secret that a table names: `{ file = "..." }`, `{ credential = "..." }` or `{ env = "..." }`.
pub(super) fn read(section: &Section<'_>) -> Option<Secret> {
    let named: Vec<&'static str> =
        ["file", "credential", "env"].into_iter().filter(|key| section.has(key)).collect();
    let key = match named.as_slice() {
        [] => {
            let remedy = "write { file = \"/run/secrets/name\" }: secrets are never in the configuration";
            section.complain("file", "is missing", remedy);
            return None;
        }
        [key] => *key,
        [first, second, ..] => {
            section.complain(second, format!("stands beside {first}"), "keep one of the two");
            return None;
        }
    };
    let name = section.text(key)?;
    let found = match key {
        "file" => from_file(section, &section.resolve(name)),
        "credential" => credential(name).and_then(|path| from_file(section, &path)),
        _ => from_environment(section, name),
    };
    match found {
        Ok(text) => Some(Secret { key, text }),
        Err(SecretError { problem, remedy }) => {
            section.complain(key, problem, &remedy);
            None
        }
    }
}

/// What is wrong with a secret. Never holds its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct SecretError {
    problem: String,
    remedy: String,
}

fn error(problem: impl Into<String>, remedy: impl Into<String>) -> SecretError {
    SecretError { problem: problem.into(), remedy: remedy.into() }
}

fn from_file(section: &Section<'_>, path: &Path) -> Result<SecretString, SecretError> {
    section.note_secret(path);
    read_file(path).map_err(|wrong| error(format!("{}: {}", path.display(), wrong.problem), wrong.remedy))
}

/// Finds the file of a credential that systemd hands to the service.
fn credential(name: &str) -> Result<PathBuf, SecretError> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        let problem = format!("{name:?} is no name of a credential");
        return Err(error(problem, "write the name alone, as LoadCredential= has it before the colon"));
    }
    #[expect(clippy::disallowed_methods, reason = "the configuration reads the environment")]
    let folder = env::var_os(CREDENTIALS_DIRECTORY).filter(|folder| !folder.is_empty());
    folder.map(|folder| Path::new(&folder).join(name)).ok_or_else(|| {
        let remedy = format!(
            "add LoadCredential={name}:/path/to/it to the systemd unit and start the service through it, or use \
             {{ file = \"...\" }}"
        );
        error(format!("${CREDENTIALS_DIRECTORY} is not set, so no credential can be found"), remedy)
    })
}

fn from_environment(section: &Section<'_>, name: &str) -> Result<SecretString, SecretError> {
    if !section.allows_environment() {
        return Err(error(
            "secrets are not taken from the environment: every child process inherits it, and dumps and support \
             tools show it",
            "use { file = \"...\" } or { credential = \"...\" }, or write allow_environment_secrets = true at the \
             top of the configuration",
        ));
    }
    #[expect(clippy::disallowed_methods, reason = "the configuration reads the environment")]
    let value = env::var(name);
    match value {
        Ok(text) => trimmed(&text),
        Err(env::VarError::NotPresent) => {
            Err(error(format!("the environment has no {name}"), "set it before the service starts"))
        }
        Err(env::VarError::NotUnicode(_)) => {
            Err(error(format!("the value of {name} is no text"), "write the secret as text"))
        }
    }
}

/// Reads a secret file, without the newline at its end.
pub fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let metadata = fs::metadata(path)
        .map_err(|why| error(format!("cannot be read: {why}"), "make the file, readable by the service"))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(error("is not a small regular file", "put the secret alone into a file"));
    }
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS != 0 {
        let remedy = format!("run: chmod o-rwx {}", path.display());
        return Err(error(format!("is open to everybody (mode {mode:04o})"), remedy));
    }
    let text = fs::read_to_string(path)
        .map_err(|why| error(format!("cannot be read: {why}"), "make it readable by the service, as text"))?;
    trimmed(&text)
}

fn trimmed(text: &str) -> Result<SecretString, SecretError> {
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(error("is empty", "put the secret into it"));
    }
    Ok(secret.to_owned().into())
}
