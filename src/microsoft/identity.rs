//! As whom tokens are asked for, and how that is proven.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::outgoing::{ClientError, Outgoing, Reach};

use super::certificate::Certificate;
use super::exchange::{Exchange, USER_AGENT};

/// As whom to ask for tokens.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The managed identity of this machine or app: Azure gives its tokens to whoever asks from here.
    Managed(ManagedIdentity),
    /// An app registration, to which Entra ID gives tokens for a proof.
    App(AppRegistration),
}

impl Identity {
    /// Returns the tenant, if it is known here: Azure does not say whose a managed identity is.
    pub fn tenant_id(&self) -> Option<&str> {
        match self {
            Self::Managed(_) => None,
            Self::App(app) => Some(&app.tenant_id),
        }
    }
}

/// An identity that Azure keeps for this machine or app.
#[derive(Debug, Clone)]
pub struct ManagedIdentity {
    /// Where its tokens are.
    pub host: IdentityHost,
    /// Which identity, by its client id; `None` for the one that belongs to the machine or app itself.
    pub client_id: Option<String>,
}

/// What hands out the tokens of a managed identity.
#[derive(Debug, Clone)]
pub enum IdentityHost {
    /// A virtual machine's instance metadata service, IMDS.
    Vm {
        /// Its address.
        endpoint: Url,
    },
    /// App Service, Functions or Container Apps.
    AppService {
        /// The address that the platform told.
        endpoint: Url,
        /// What the platform told to be shown there.
        header: SecretString,
    },
}

/// An app registration.
#[derive(Clone)]
pub struct AppRegistration {
    /// Base of Entra ID, such as `https://login.microsoftonline.com`.
    pub login_url: Url,
    /// The tenant.
    pub tenant_id: String,
    /// The app registration.
    pub client_id: String,
    /// How it proves itself.
    pub proof: Proof,
}

/// How an app registration proves itself.
#[derive(Debug, Clone)]
pub enum Proof {
    /// By a token of another issuer that Entra ID trusts. Its file is read each time, for it is renewed every hour.
    Federated(PathBuf),
    /// By the private key of a certificate.
    Certificate(Certificate),
    /// By a secret that Entra ID knows too.
    Secret(SecretString),
}

impl Proof {
    /// Says whether another proof is of the same kind, and not the same.
    fn is_rotated(&self, new: &Self) -> bool {
        match (self, new) {
            (Self::Federated(old), Self::Federated(new)) => old != new,
            (Self::Certificate(old), Self::Certificate(new)) => old != new,
            (Self::Secret(old), Self::Secret(new)) => old.expose_secret() != new.expose_secret(),
            (Self::Federated(_) | Self::Certificate(_) | Self::Secret(_), _) => false,
        }
    }
}

impl fmt::Debug for AppRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppRegistration").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Identity {
    /// How requests for its tokens leave; nothing is sent yet.
    pub(crate) fn exchange(&self) -> Result<Exchange, ClientError> {
        match self {
            Self::App(app) => Exchange::with(&app.login_url),
            Self::Managed(managed) => {
                let to = managed.host.endpoint();
                let outgoing = Outgoing { user_agent: USER_AGENT, reach: Reach::Beside, ..Outgoing::new(to) };
                Ok(Exchange::Network(outgoing.client()?))
            }
        }
    }

    /// Returns the same app registration with another one's proof, if that is another proof of the same kind. A new kind, another
    /// registration and a managed identity take a restart.
    pub(super) fn rotated(&self, new: &Self) -> Option<Self> {
        let (Self::App(app), Self::App(other)) = (self, new) else {
            return None;
        };
        let registration =
            |app: &AppRegistration| (app.login_url.clone(), app.tenant_id.clone(), app.client_id.clone());
        (registration(app) == registration(other) && app.proof.is_rotated(&other.proof)).then(|| new.clone())
    }

    /// The certificate by which it proves itself, if it has one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::App(AppRegistration { proof: Proof::Certificate(certificate), .. }) => Some(certificate),
            Self::App(_) | Self::Managed(_) => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed(ManagedIdentity { host, client_id }) => {
                let host = match host {
                    IdentityHost::Vm { .. } => "this virtual machine",
                    IdentityHost::AppService { .. } => "this app",
                };
                match client_id {
                    Some(id) => write!(f, "managed identity {id} of {host}"),
                    None => write!(f, "managed identity of {host}"),
                }
            }
            Self::App(AppRegistration { client_id, proof, .. }) => {
                write!(f, "application {client_id} with ")?;
                match proof {
                    Proof::Federated(path) => write!(f, "the token in {}", path.display()),
                    Proof::Certificate(certificate) => {
                        let (thumbprint, end) = (certificate.thumbprint(), certificate.not_after());
                        write!(f, "the certificate {thumbprint}, which ends on {end:.0}")
                    }
                    Proof::Secret(_) => f.write_str("a client secret"),
                }
            }
        }
    }
}

impl IdentityHost {
    /// Where tokens are asked for.
    pub(super) fn endpoint(&self) -> &Url {
        match self {
            Self::Vm { endpoint } | Self::AppService { endpoint, .. } => endpoint,
        }
    }
}
