//! Microsoft Graph change notifications: a secret that Graph repeats in every item of the body.
//!
//! Graph signs nothing; the client state is what the subscription was made with
//! (reference/webhook-signing.md, B: Microsoft Graph change notifications).

use jiff::Timestamp;
use serde::Deserialize;

use super::token::{self, StaticToken};
use super::{KeyId, RawDelivery, VerifyError};

/// The client states of a source's subscriptions.
#[derive(Debug)]
pub struct ClientStates(Vec<StaticToken>);

#[derive(Deserialize)]
struct Notifications {
    value: Vec<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "clientState")]
    client_state: String,
}

impl ClientStates {
    /// Takes the states that may be shown; several during a rotation.
    pub fn new(states: Vec<StaticToken>) -> Self {
        Self(states)
    }

    pub(super) fn keys(&self) -> Vec<(KeyId, Option<Timestamp>)> {
        token::keys(&self.0)
    }

    /// Proves that every item carries a state of the source.
    ///
    /// The body has to be read before it is proven, for the proof is in it: into these two fields and nothing else.
    pub(super) fn prove(&self, delivery: &RawDelivery, now: Timestamp) -> Result<KeyId, VerifyError> {
        let read: Result<Notifications, _> = serde_json::from_slice(&delivery.body);
        let Notifications { value } = read.or(Err(VerifyError::ClientState))?;
        let mut proven = Err(VerifyError::ClientState);
        for item in value {
            proven = Ok(token::find(&self.0, item.client_state.as_bytes(), now)?);
        }
        proven
    }
}
