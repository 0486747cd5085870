//! Why a delivery was not believed.

use super::jwt::JwtError;

/// Why a delivery was not believed. Senders are told none of this; logs and metrics are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// The address is not one that the source may send from, or it is not known.
    #[error("the sender's address is not in the source's allow_cidrs")]
    AddressNotAllowed,
    /// A header that the scheme needs is not there.
    #[error("the {0} header is missing")]
    HeaderMissing(String),
    /// A header that must be there once is there more than once.
    #[error("the {0} header is there more than once")]
    HeaderRepeated(String),
    /// A header is too long, not ASCII, or not of its form.
    #[error("the {0} header is malformed")]
    HeaderMalformed(String),
    /// Signed too long ago.
    #[error("the signature is too old: compare the clocks of sender and bridge, or replay the alert")]
    Stale,
    /// Signed in the future.
    #[error("the signature lies in the future: compare the clocks of sender and bridge")]
    Early,
    /// No key of the source made this signature over these bytes, or no token of it is this one.
    #[error(
        "no key of this source made the signature, or the token is another: compare the secrets, and check that \
         nothing between sender and bridge rewrites the body"
    )]
    Mismatch,
    /// Every key of the source has passed its `not_after`.
    #[error("every key of this source has expired")]
    KeysExpired,
    /// No client certificate came with the connection.
    #[error(
        "no client certificate came: check [server.tls] client_ca, or that the proxy passes Client-Cert on"
    )]
    CertificateMissing,
    /// The client certificate is none of the source's.
    #[error("the client certificate has no name or fingerprint of this source")]
    CertificateMismatch,
    /// The body does not carry what proves it.
    #[error("the body does not carry the source's client state in every item")]
    ClientState,
    /// No token of the API that is bound to the source was shown.
    #[error("the source asks for actions by POST /v1/actions, with a token of the API that is bound to it")]
    ApiToken,
    /// The token of an issuer proves nothing.
    #[error(transparent)]
    Jwt(#[from] JwtError),
}

impl VerifyError {
    /// Every reason, as metric labels know them.
    pub const REASONS: [&'static str; 23] = [
        "address",
        "header_missing",
        "header_repeated",
        "header_malformed",
        "stale",
        "early",
        "mismatch",
        "keys_expired",
        "certificate_missing",
        "certificate_mismatch",
        "client_state",
        "api_token",
        "token_malformed",
        "token_algorithm",
        "token_issuer",
        "token_audience",
        "token_expired",
        "token_early",
        "token_caller",
        "token_role",
        "token_key_unknown",
        "token_key_unfit",
        "token_signature",
    ];

    /// Returns the word used as metric label and in logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AddressNotAllowed => "address",
            Self::HeaderMissing(_) => "header_missing",
            Self::HeaderRepeated(_) => "header_repeated",
            Self::HeaderMalformed(_) => "header_malformed",
            Self::Stale => "stale",
            Self::Early => "early",
            Self::Mismatch => "mismatch",
            Self::KeysExpired => "keys_expired",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateMismatch => "certificate_mismatch",
            Self::ClientState => "client_state",
            Self::ApiToken => "api_token",
            Self::Jwt(error) => error.reason(),
        }
    }
}
