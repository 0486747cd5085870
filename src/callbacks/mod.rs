//! Callbacks: tells addresses of the configuration what became of actions, and reminds them of those that wait for a person.
//!
//! The audit is the outbox. A change of a state is written to it in the transaction of the change, whoever makes it, so what is
//! still to be told is what comes after the place up to which a callback was told; no kill loses any of it. From there an event
//! becomes a message, which is sent until it is taken or given up.
//!
//! Each callback has a courier of its own, with a place, a queue and a few requests at once. None waits for another, and nothing
//! else waits for any of them. `event`, `answer` are pure.

mod answer;
mod courier;
mod destination;
mod event;

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::sleep;
use url::Url;

use crate::alert::{CallbackName, EventType, Remind, SourceName};
use crate::clock::Clock;
use crate::ingest::SigningKey;
use crate::public_url::PublicUrl;
use crate::store::{Registration, Store, StoreError};
use crate::telemetry::Metrics;

pub use crate::outgoing::ClientError;
pub use answer::{ATTEMPTS_MAX, Answer, judge};
pub use destination::Destinations;

use courier::Courier;

/// How long the loop waits after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// An address that is told of events.
#[derive(Clone)]
pub struct Callback {
    /// Its name.
    pub name: CallbackName,
    /// The address. Its path may be a secret.
    pub url: Url,
    /// What messages are signed with; several during a rotation.
    pub keys: Vec<SigningKey>,
    /// What it is told of.
    pub events: Vec<EventType>,
    /// Of whose actions; `None` for all.
    pub sources: Option<Vec<SourceName>>,
    /// Networks that are none of the internet and may be connected to.
    pub allow_private: Vec<IpNet>,
    /// When it is reminded of an action that waits for a person.
    pub reminders: Vec<Remind>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Callback {
    fn eq(&self, other: &Self) -> bool {
        let keys = |callback: &Self| -> Vec<_> { callback.keys.iter().map(|key| key.id().clone()).collect() };
        self.name == other.name
            && self.url == other.url
            && self.events == other.events
            && self.sources == other.sources
            && self.allow_private == other.allow_private
            && self.reminders == other.reminders
            && keys(self) == keys(other)
    }
}

impl Callback {
    /// Says whether it is told of this.
    fn wants(&self, event: EventType, source: &str) -> bool {
        let of_source = |sources: &Vec<SourceName>| sources.iter().any(|name| name.as_str() == source);
        self.events.contains(&event) && self.sources.as_ref().is_none_or(of_source)
    }
}

/// What the loop needs from the rest of the service.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The durable state.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Metrics,
    /// Where others reach the service, if it was told: for links to actions.
    pub public_url: Option<PublicUrl>,
}

/// Tells all callbacks, for as long as it runs.
#[derive(Debug)]
pub struct Callbacks {
    parts: Parts,
    changes: watch::Receiver<Arc<Destinations>>,
    couriers: Vec<Courier>,
}

impl Callbacks {
    /// Takes up which callbacks there are; nothing is sent before it runs.
    pub async fn start(
        parts: Parts,
        changes: watch::Receiver<Arc<Destinations>>,
    ) -> Result<Self, StoreError> {
        let mut callbacks = Self { parts, changes, couriers: Vec::new() };
        callbacks.take_over().await?;
        Ok(callbacks)
    }

    /// Takes over which callbacks there are now. What is under way to one that stays as it was goes on.
    async fn take_over(&mut self) -> Result<(), StoreError> {
        let destinations = Arc::clone(&self.changes.borrow_and_update());
        let registrations: Vec<Registration> = destinations.registrations().collect();
        self.parts.store.register_callbacks(registrations, self.parts.clock.now()).await?;
        let mut before = std::mem::take(&mut self.couriers);
        for destination in destinations.all() {
            let stays = before.iter().position(|courier| courier.goes_to(destination));
            self.couriers.push(match stays {
                Some(place) => before.swap_remove(place),
                None => Courier::new(Arc::clone(destination), self.parts.clone()),
            });
        }
        Ok(())
    }

    /// Works until it is told to stop. What is under way then is sent again at the next start, under the same id.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut is_current = true;
        loop {
            let work = async {
                join_all(self.couriers.iter_mut().map(Courier::run)).await;
                pending::<()>().await;
            };
            tokio::select! {
                // An error says that nobody is left to tell: that is a stop too.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                Ok(()) = self.changes.changed() => {}
                () = sleep(RETRY), if !is_current => {}
                () = work => {}
            }
            let taken = self.take_over().await;
            is_current = taken.is_ok();
            taken.unwrap_or_else(|error| tell(&error));
        }
    }

    /// Works until nothing more can be done at this moment of the clock. For tests.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        if self.changes.has_changed().unwrap_or(false) {
            self.take_over().await?;
        }
        for done in join_all(self.couriers.iter_mut().map(Courier::drain)).await {
            done?;
        }
        Ok(())
    }
}

fn tell(error: &StoreError) {
    tracing::error!(%error, "other callbacks cannot be taken over; it is tried again");
}
