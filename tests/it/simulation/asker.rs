//! Those who ask the bridge for something by HTTP: senders with deliveries, people who complete actions.

use std::fmt;

use jiff::Timestamp;
use quarantine_bridge::store::{Accept, Cancel, Complete, Receipt, Retry, Store, TurnOff, TurnOn};

use super::bridge::Polled;
use super::scenario::Delivery;

const SWITCH: &str = "the kill switch";

/// What whoever turns the kill switch on is told.
pub(crate) const SWITCHED_ON: &str = "the kill switch: On";

/// A request that somebody waits for.
pub(crate) struct Asker {
    /// What is sent again if nothing comes back.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) answer: Polled<Told>,
    name: String,
}

/// What they are told.
#[derive(Debug)]
pub(crate) enum Told {
    /// The delivery is taken; these are its actions.
    Taken(Vec<String>),
    /// A person's wish came to this.
    Done(String),
    /// Not now.
    Failed,
}

impl Asker {
    /// Sends a delivery.
    pub(crate) fn send(store: Store, delivery: Delivery, now: Timestamp) -> Self {
        let accept = Accept {
            delivery: delivery.verified(now),
            alerts: delivery.alerts.clone(),
            refused: Vec::new(),
            references: Vec::new(),
            notices: Vec::new(),
            now,
        };
        let name = format!("{} of {}", delivery.id, delivery.source);
        let answer = Polled::new(async move {
            match store.accept(accept).await {
                Ok(Receipt::New(accepted) | Receipt::Duplicate(accepted)) => {
                    let actions = accepted.alerts.iter().flat_map(|alert| &alert.actions);
                    Told::Taken(actions.map(|action| action.id.to_string()).collect())
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => Told::Failed,
            }
        });
        Self { delivery: Some(delivery), answer, name }
    }

    /// Completes an action.
    pub(crate) fn complete(store: Store, complete: Complete, name: String) -> Self {
        let answer = Polled::new(async move {
            match store.complete(complete).await {
                Ok(completed) => Told::Done(format!("complete {}", word(&completed))),
                Err(_) => Told::Failed,
            }
        });
        Self { delivery: None, answer, name }
    }

    /// Cancels an action.
    pub(crate) fn cancel(store: Store, cancel: Cancel, name: String) -> Self {
        let answer = Polled::new(async move {
            match store.cancel(cancel).await {
                Ok(cancelled) => Told::Done(format!("cancel {}", word(&cancelled))),
                Err(_) => Told::Failed,
            }
        });
        Self { delivery: None, answer, name }
    }

    /// Has an action tried again.
    pub(crate) fn retry(store: Store, retry: Retry, name: String) -> Self {
        let answer = Polled::new(async move {
            match store.retry(retry).await {
                Ok(retried) => Told::Done(format!("retry {}", word(&retried))),
                Err(_) => Told::Failed,
            }
        });
        Self { delivery: None, answer, name }
    }

    /// Turns the kill switch on.
    pub(crate) fn turn_on(store: Store, on: TurnOn) -> Self {
        let answer = Polled::new(async move {
            match store.turn_on(on).await {
                Ok(_) => Told::Done(SWITCHED_ON.to_owned()),
                Err(_) => Told::Failed,
            }
        });
        Self { delivery: None, answer, name: format!("{SWITCH} is to be on") }
    }

    /// Turns it off.
    pub(crate) fn turn_off(store: Store, off: TurnOff) -> Self {
        let answer = Polled::new(async move {
            match store.turn_off(off).await {
                Ok(turned) => Told::Done(format!("{SWITCH}: {}", word(&turned))),
                Err(_) => Told::Failed,
            }
        });
        Self { delivery: None, answer, name: format!("{SWITCH} is to be off") }
    }

    /// Says whether it is about the kill switch.
    pub(crate) fn turns_switch(&self) -> bool {
        self.name.starts_with(SWITCH)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// What a person is told, without what it is about.
fn word(told: &dyn fmt::Debug) -> String {
    format!("{told:?}").split('(').next().unwrap_or_default().to_owned()
}
