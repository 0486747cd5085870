//! What Microsoft's APIs have in common: the app registration and its tokens, the HTTP client, and how answers say no.

mod answer;
mod http_client;
mod token;

pub use answer::{Answer, refusal, throttle_wait};
pub use http_client::{ClientError, Failure, http_client, is_loopback};
pub use token::{AppRegistration, Needs, Token, TokenError, TokenSource};

pub(crate) use answer::{is_success, text};
pub(crate) use http_client::send;
