//! What Microsoft's APIs have in common: the app registration and its tokens, how requests leave, and how answers say no.

mod answer;
mod exchange;
mod token;

pub use answer::{Answer, refusal, throttle_wait};
pub use exchange::{Exchange, Failure, Play, Playing};
pub use token::{AppRegistration, Needs, Token, TokenError, TokenSource};

pub(crate) use answer::{is_success, text};
pub(crate) use exchange::authorized;
