//! What Microsoft's APIs have in common: as whom they are called, the tokens, how requests leave, and how answers say no.

mod aadsts;
mod answer;
mod certificate;
mod entra;
mod exchange;
mod identity;
mod managed;
mod token;

pub use aadsts::remedy as remedy_of;
pub use answer::{Answer, refusal, throttle_wait};
pub use certificate::{Algorithm, Certificate, CertificateError, SigningFailed};
pub use exchange::{Exchange, Failure, Play, Playing};
pub use identity::{AppRegistration, Identity, IdentityHost, ManagedIdentity, Proof};
pub use token::{Needs, Token, TokenError, TokenSource};

pub(crate) use answer::{is_success, text};
pub(crate) use entra::read_token_file;
pub(crate) use exchange::authorized;
