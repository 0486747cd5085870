//! The certificate of an app registration, and the assertions that its key signs. Pure but for the signature's random numbers.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::Sha256;
use x509_cert::der::Decode as _;

use crate::alert::after;

/// How long an assertion is good for; Microsoft asks for 5 to 10 minutes (reference, defender-api 7.4).
const LIFE: SignedDuration = SignedDuration::from_mins(10);

/// How an assertion is signed, and how it names its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// RSA-PSS with SHA-256; the certificate by its SHA-256 thumbprint.
    #[default]
    Ps256,
    /// RSA PKCS #1 v1.5 with SHA-256; the certificate by its SHA-1 thumbprint. The older form.
    Rs256,
}

/// A certificate with its key. A cheap handle; it prints nothing of the key.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<KeyPair>,
    algorithm: Algorithm,
    sha1: [u8; 20],
    sha256: [u8; 32],
    not_after: Timestamp,
}

/// The same certificate, shown in the same way: it has one key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        (self.sha256, self.algorithm) == (other.sha256, other.algorithm)
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut certificate = f.debug_struct("Certificate");
        certificate.field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

/// What is wrong with a file that should hold a certificate and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is no PEM.
    #[error(
        "is no PEM: put the certificate and its private key into it, as text that begins with -----BEGIN"
    )]
    NotPem,
    /// It has no key.
    #[error("holds no private key: add it, unencrypted, as PKCS #8 or PKCS #1 in PEM form")]
    NoKey,
    /// Its key is none that Entra ID takes.
    #[error("holds a key that is not RSA with 2,048 bits or more: Entra ID takes no other")]
    BadKey,
    /// It has no certificate.
    #[error("holds no certificate: add the one that is registered in Entra ID, in PEM form")]
    NoCertificate,
    /// The key is another one's.
    #[error("holds a key that belongs to none of its certificates: put the certificate beside its own key")]
    KeyMismatch,
}

impl Certificate {
    /// Reads a certificate and its key from one PEM text. Of several certificates, it is the one that the key belongs to.
    pub fn read(pem: &SecretString, algorithm: Algorithm) -> Result<Self, CertificateError> {
        let mut key = Err(CertificateError::NoKey);
        let mut certificates = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.expose_secret().as_bytes()) {
            let (kind, mut der) = section.or(Err(CertificateError::NotPem))?;
            match kind {
                SectionKind::PrivateKey => key = KeyPair::from_pkcs8(&der).or(Err(CertificateError::BadKey)),
                SectionKind::RsaPrivateKey => key = KeyPair::from_der(&der).or(Err(CertificateError::BadKey)),
                SectionKind::EcPrivateKey => key = Err(CertificateError::BadKey),
                SectionKind::Certificate => certificates.push(der.clone()),
                _ => {}
            }
            der.zeroize();
        }
        let key = key?;
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let own = certificates.iter().find_map(|der| end_if_of(der, &key).map(|end| (der, end)));
        let (der, not_after) = own.ok_or(CertificateError::KeyMismatch)?;
        let (sha1, sha256) = (sha1(der), <Sha256 as sha2::Digest>::digest(der).into());
        Ok(Self { key: Arc::new(key), algorithm, sha1, sha256, not_after })
    }

    /// The SHA-1 thumbprint in hexadecimal digits, as Entra ID shows it.
    pub fn thumbprint(&self) -> String {
        hex::encode_upper(self.sha1)
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Makes the assertion by which an app registration proves itself to a token endpoint, once.
    ///
    /// # Errors
    ///
    /// If it cannot be signed, which takes a lack of memory or random numbers.
    pub fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        jti: &str,
        now: Timestamp,
    ) -> Result<SecretString, SigningFailed> {
        let (encoding, header) = match self.algorithm {
            Algorithm::Ps256 => (
                &RSA_PSS_SHA256,
                json!({"alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(self.sha256)}),
            ),
            Algorithm::Rs256 => (
                &RSA_PKCS1_SHA256,
                json!({"alg": "RS256", "typ": "JWT", "x5t": URL_SAFE_NO_PAD.encode(self.sha1)}),
            ),
        };
        let (begin, end) = (now.as_second(), after(now, LIFE).as_second());
        let claims = json!({
            "aud": audience, "iss": client_id, "sub": client_id, "jti": jti, "iat": begin, "nbf": begin, "exp": end,
        });
        let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
        let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.or(Err(SigningFailed))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

/// An assertion could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the assertion cannot be signed: this machine lacks memory or random numbers")]
pub struct SigningFailed;

/// When a certificate ends, if a key is its own.
fn end_if_of(der: &[u8], key: &KeyPair) -> Option<Timestamp> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
    let public = certificate.subject_public_key_info.subject_public_key;
    let end = certificate.validity.not_after.to_unix_duration();
    let end = Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()?;
    (public.raw_bytes() == key.public_key().as_ref()).then_some(end)
}

/// Names the certificate in the older form; nothing is protected by it.
fn sha1(der: &[u8]) -> [u8; 20] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    let mut sha1 = [0; 20];
    sha1.copy_from_slice(digest.as_ref());
    sha1
}
