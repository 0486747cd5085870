//! TLS on the listener: 1.2 and 1.3, with a certificate that can be replaced while connections are open.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::certificate;

/// What the service shows, and whose certificates it takes.
#[derive(Debug)]
pub struct Identity {
    /// The service's certificate, then those between it and a root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub key: PrivateKeyDer<'static>,
    /// The roots of client certificates; without them none is asked for.
    pub client_ca: Option<Vec<CertificateDer<'static>>>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate.
    #[error("holds no certificate")]
    EmptyChain,
    /// A certificate of the chain is none.
    #[error("holds something that is no certificate")]
    BadCertificate,
    /// The key is of a kind that is not known.
    #[error("is no key that can be used: {0}")]
    BadKey(Error),
    /// Key and certificate are not of one pair.
    #[error("is not the key of the certificate")]
    KeyMismatch,
    /// A client CA is none, or there is none.
    #[error("holds no CA that can be used: {0}")]
    BadClientCa(String),
    /// The two versions of TLS are not there.
    #[error("TLS cannot be set up: {0}")]
    Unsupported(Error),
}

/// The listener's TLS. A cheap handle; connections that are open keep what they began with.
#[derive(Clone)]
pub struct Tls(watch::Sender<Current>);

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    not_after: Timestamp,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("not_after", &self.not_after()).finish_non_exhaustive()
    }
}

impl Tls {
    /// Starts with an identity.
    pub fn new(identity: Identity) -> Result<Self, TlsError> {
        Ok(Self(watch::Sender::new(current(identity)?)))
    }

    /// Shows another identity to those who connect from now on. If it is no good, the old one stays.
    pub fn replace(&self, identity: Identity) -> Result<(), TlsError> {
        self.0.send_replace(current(identity)?);
        Ok(())
    }

    /// When the certificate that is shown ends.
    pub fn not_after(&self) -> Timestamp {
        self.0.borrow().not_after
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.0.borrow().config).into()
    }
}

fn current(identity: Identity) -> Result<Current, TlsError> {
    let Identity { chain, key, client_ca } = identity;
    let ends: Option<Vec<Timestamp>> = chain.iter().map(|it| certificate::not_after(it)).collect();
    let ends = ends.ok_or(TlsError::BadCertificate)?;
    let not_after = ends.into_iter().min().ok_or(TlsError::EmptyChain)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    // rustls would let a key pass whose public half it cannot compute.
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(key_error)?;
    pair.keys_match().map_err(key_error)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Unsupported)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(verifier(roots, provider)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session that is taken up again would bring a client certificate that nobody looks at again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Current { config: Arc::new(config), not_after })
}

fn key_error(error: Error) -> TlsError {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch,
        Error::InvalidCertificate(_) => TlsError::BadCertificate,
        other => TlsError::BadKey(other),
    }
}

/// Proves client certificates where they are shown. Who shows none is let in: it depends on the source whether that
/// is enough.
fn verifier(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|error| TlsError::BadClientCa(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error: VerifierBuilderError| TlsError::BadClientCa(error.to_string()))
}
