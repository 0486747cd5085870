//! `[server.tls]`: the listener's certificate, read again when its files change.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::http::{Identity, Tls, TlsError};

use super::Secrets;
use super::reader::Section;
use super::secret;

/// The longest file of certificates that is read.
const BYTES_MAX: u64 = 1024 * 1024;

/// The files of the listener's certificate, and what was last read from them.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    /// Tells whether they have changed.
    seen: Result<[u8; 32], String>,
}

/// What became of a look at the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// They are as they were at the last look.
    Unchanged,
    /// They have changed, and the listener shows what they hold.
    Loaded,
    /// They have changed, and the listener goes on with what it had; with the reason and the remedy.
    Refused(String),
}

/// What is wrong with the files: with which, what, and what to do.
struct Wrong {
    key: &'static str,
    path: PathBuf,
    problem: String,
    remedy: String,
}

impl TlsFiles {
    /// Where the listener's private key is.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Looks whether the files have changed, and shows what they hold now to those who connect from now on.
    pub fn refresh(&mut self, tls: &Tls) -> Refresh {
        let read = self.read();
        let seen = read.as_ref().map(|(_, digest)| *digest).map_err(Wrong::tell);
        if seen == self.seen {
            return Refresh::Unchanged;
        }
        self.seen = seen;
        let replaced =
            read.and_then(|(identity, _)| tls.replace(identity).map_err(|error| self.blame(&error)));
        match replaced {
            Ok(()) => Refresh::Loaded,
            Err(wrong) => Refresh::Refused(wrong.tell()),
        }
    }

    /// Reads the files, with a digest of all of them.
    fn read(&self) -> Result<(Identity, [u8; 32]), Wrong> {
        let mut digest = Sha256::new();
        let chain_pem = certificates("certificate", &self.certificate)?;
        digest.update(Sha256::digest(&chain_pem));
        let chain = parse("certificate", &self.certificate, &chain_pem)?;
        let secret = secret::read_file(&self.key).map_err(|error| Wrong {
            key: "key",
            path: self.key.clone(),
            problem: error.to_string(),
            remedy:
                "put the certificate's private key into a file that the service may read, and not everybody"
                    .to_owned(),
        })?;
        digest.update(Sha256::digest(secret.expose_secret()));
        let key =
            PrivateKeyDer::from_pem_slice(secret.expose_secret().as_bytes()).map_err(|error| Wrong {
                key: "key",
                path: self.key.clone(),
                problem: format!("holds no private key in PEM: {error}"),
                remedy:
                    "put the certificate's private key into it, unencrypted, as PKCS #8, PKCS #1 or SEC 1"
                        .to_owned(),
            })?;
        let client_ca = match &self.client_ca {
            Some(path) => {
                let pem = certificates("client_ca", path)?;
                digest.update(Sha256::digest(&pem));
                Some(parse("client_ca", path, &pem)?)
            }
            None => None,
        };
        Ok((Identity { chain, key, client_ca }, digest.finalize().into()))
    }

    /// Says which file an error is about.
    fn blame(&self, error: &TlsError) -> Wrong {
        let (key, path, remedy) = match error {
            TlsError::EmptyChain | TlsError::BadCertificate => (
                "certificate",
                &self.certificate,
                "put the service's certificate first, then the intermediate ones",
            ),
            TlsError::BadKey(_) | TlsError::Unsupported(_) => (
                "key",
                &self.key,
                "use a key of RSA with 2048 bits or more, of ECDSA P-256 or P-384, or Ed25519",
            ),
            TlsError::KeyMismatch => (
                "key",
                &self.key,
                "name the key that the first certificate was made for, and replace both together",
            ),
            TlsError::BadClientCa(_) => {
                let path = self.client_ca.as_ref().unwrap_or(&self.certificate);
                ("client_ca", path, "put the CA's own certificates into it")
            }
        };
        Wrong { key, path: path.clone(), problem: error.to_string(), remedy: remedy.to_owned() }
    }
}

impl Wrong {
    fn tell(&self) -> String {
        format!("{}: {}: {}; {}", self.key, self.path.display(), self.problem, self.remedy)
    }
}

/// Reads the section; without secrets only its keys.
pub(super) fn read(section: &Section<'_>, secrets: Secrets) -> Option<(Option<Tls>, TlsFiles)> {
    let certificate =
        section.required_text("certificate", "name the PEM file of the certificate and its chain");
    section.require("key", "write key = { file = \"key.pem\" }");
    let key_section = section.section_if_there("key");
    let key = key_section.as_ref().and_then(|key| key.required_text("file", "name the PEM file of the key"));
    if let Some(key) = &key_section {
        key.finish();
    }
    let client_ca = section.text("client_ca").map(|path| section.resolve(path));
    section.finish();
    let files = TlsFiles {
        certificate: section.resolve(certificate?),
        key: section.resolve(key?),
        client_ca,
        seen: Err(String::new()),
    };
    if secrets == Secrets::Skip {
        return Some((None, files));
    }
    let made = files.read().and_then(|(identity, digest)| {
        Tls::new(identity).map(|tls| (tls, digest)).map_err(|error| files.blame(&error))
    });
    match made {
        Ok((tls, digest)) => Some((Some(tls), TlsFiles { seen: Ok(digest), ..files })),
        Err(wrong) => {
            let problem = format!("{}: {}", wrong.path.display(), wrong.problem);
            section.complain(wrong.key, problem, &wrong.remedy);
            None
        }
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<u8>, Wrong> {
    let wrong = |problem: String| Wrong {
        key,
        path: path.to_owned(),
        problem,
        remedy: "name a file of PEM certificates that the service may read".to_owned(),
    };
    let metadata = fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(wrong("is not a regular file of at most 1 MiB".to_owned()));
    }
    fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

fn parse(key: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let wrong = |problem: String| Wrong {
        key,
        path: path.to_owned(),
        problem,
        remedy: "put certificates into it as PEM, from -----BEGIN CERTIFICATE----- on".to_owned(),
    };
    let parsed: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let parsed = parsed.map_err(|error| wrong(format!("is not PEM: {error}")))?;
    if parsed.is_empty() { Err(wrong("holds no certificate".to_owned())) } else { Ok(parsed) }
}
