//! What the connection itself tells of a sender: its address and its certificate.

use core::net::IpAddr;

use ipnet::IpNet;
use subtle::{Choice, ConstantTimeEq as _};

use super::{KeyId, VerifyError};

/// The other end of the connection that a delivery came over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// The sender's address, as the connection or a trusted proxy tells it; `None` where neither does.
    pub address: Option<IpAddr>,
    /// The client certificate, its chain proven by TLS or by a trusted proxy.
    pub certificate: Option<ClientCertificate>,
}

/// A proven client certificate, as far as sources are bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the certificate in DER.
    pub sha256: [u8; 32],
    /// Its subject alternative names: DNS names in lower case, addresses, URIs and mail addresses as they stand.
    pub names: Vec<String>,
}

/// Says whether the address lies in one of the networks. Without networks every address does.
pub(super) fn is_allowed(networks: &[IpNet], peer: &Peer) -> bool {
    let inside = |address: IpAddr| networks.iter().any(|network| network.contains(&address.to_canonical()));
    networks.is_empty() || peer.address.is_some_and(inside)
}

/// The certificates of one source: any of these names or fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificates {
    /// Subject alternative names, DNS names in lower case. Compared whole: a wildcard names only itself.
    pub names: Vec<String>,
    /// SHA-256 fingerprints of certificates.
    pub fingerprints: Vec<[u8; 32]>,
}

impl Certificates {
    /// Those of certificates that are bound by fingerprint.
    pub(super) fn key_ids(&self) -> Vec<KeyId> {
        self.fingerprints.iter().map(|sha256| KeyId::of_public(sha256)).collect()
    }

    /// Proves that the connection's certificate is one of the source's.
    pub(super) fn prove(&self, peer: &Peer) -> Result<KeyId, VerifyError> {
        let certificate = peer.certificate.as_ref().ok_or(VerifyError::CertificateMissing)?;
        let pinned = self.fingerprints.iter().map(|known| known.ct_eq(&certificate.sha256));
        let is_pinned = pinned.fold(Choice::from(0), |found, one| found | one);
        let is_named = certificate.names.iter().any(|name| self.names.contains(name));
        if bool::from(is_pinned) || is_named {
            return Ok(KeyId::of_public(&certificate.sha256));
        }
        Err(VerifyError::CertificateMismatch)
    }
}
