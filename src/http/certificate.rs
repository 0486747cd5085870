//! What a certificate says: its fingerprint, its names and its end.

use std::net::IpAddr;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::ingest::ClientCertificate;

/// Reads a client certificate whose chain is proven.
///
/// One that cannot be read has no names, but still its fingerprint. The common name is no name: it is not bound to
/// a kind, and RFC 6125 gave it up.
pub(super) fn read(der: &[u8]) -> ClientCertificate {
    let names = Certificate::from_der(der).ok().and_then(|certificate| names(&certificate));
    ClientCertificate { sha256: Sha256::digest(der).into(), names: names.unwrap_or_default() }
}

/// Reads a certificate that a header brought: it must be one.
pub(super) fn read_strictly(der: &[u8]) -> Option<ClientCertificate> {
    Certificate::from_der(der).ok().map(|_| read(der))
}

/// When a certificate ends; `None` if it is none.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
}

fn names(certificate: &Certificate) -> Option<Vec<String>> {
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    Some(names.0.iter().filter_map(name).collect())
}

/// A name as sources are bound to it. What could be taken for a name of another kind is left out.
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => {
            let name = name.as_str().to_ascii_lowercase();
            let is_plain = !name.contains([':', '@', '/']) && name.parse::<IpAddr>().is_err();
            is_plain.then_some(name)
        }
        GeneralName::IpAddress(octets) => match *octets.as_bytes() {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            ref octets => <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::from(octets).to_string()),
        },
        GeneralName::UniformResourceIdentifier(uri) => {
            let uri = uri.as_str();
            uri.contains(':').then(|| uri.to_owned())
        }
        GeneralName::Rfc822Name(mail) => {
            let mail = mail.as_str();
            (mail.contains('@') && !mail.contains(':')).then(|| mail.to_owned())
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => None,
    }
}
