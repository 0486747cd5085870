//! Who may have something signed: local processes, and only those that know the header, if one is required.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, ORIGIN};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::http::problem::{Problem, ProblemKind};

/// A header that every delivery must have, with a value that is a secret.
#[derive(Debug, Clone)]
pub struct RequiredHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: SecretString,
}

/// Lets a request pass, or says why not.
pub(super) fn admit(request: &HttpRequest, required: Option<&RequiredHeader>) -> Result<(), Problem> {
    // A browser on this machine sends what any page on the network tells it to, and names the page.
    if request.headers().contains_key(ORIGIN) {
        return Err(Problem::new(ProblemKind::Forbidden, "Requests of web pages are not taken."));
    }
    match required {
        Some(required) if !required.is_met_by(request) => {
            tracing::warn!(header = %required.name, "a delivery without the right header was refused");
            Err(Problem::unauthorized())
        }
        _ => Ok(()),
    }
}

impl RequiredHeader {
    /// Compares digests, so that the time taken tells neither how long the value is nor where it differs.
    fn is_met_by(&self, request: &HttpRequest) -> bool {
        let mut sent = request.headers().get_all(&self.name);
        let (Some(value), None) = (sent.next(), sent.next()) else {
            return false;
        };
        let (sent, known) = (Sha256::digest(value.as_bytes()), Sha256::digest(self.value.expose_secret()));
        sent.ct_eq(&known).into()
    }
}
