//! One run of the bridge's process: the real dispatcher on the real store, polled by hand.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use quarantine_bridge::clock::Clock;
use quarantine_bridge::defender::{self, Defender};
use quarantine_bridge::dispatch::{Dispatcher, Options};
use quarantine_bridge::store::Store;
use quarantine_bridge::telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::unconstrained;

use super::network::{Outbox, exchange};
use crate::harness::identity;

/// A future that is polled when the scheduler wants it to be.
pub(crate) struct Polled<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<T: 'static> Polled<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(unconstrained(future)), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    /// Says whether it may go on.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }

    pub(crate) fn poll(&mut self) -> Option<T> {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

/// The process. Dropping it is a crash.
pub(crate) struct Bridge {
    pub(crate) store: Store,
    /// Brings whether it came to its end as it should.
    pub(crate) process: Polled<bool>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) options: watch::Sender<Options>,
}

impl Bridge {
    pub(crate) fn start(store: Store, options: Options, clock: &Clock, outbox: &Outbox) -> Self {
        let defender = defender(clock, outbox);
        let (stop, stopped) = watch::channel(false);
        let (options, changes) = watch::channel(options);
        let (handle, clock) = (store.clone(), clock.clone());
        let process = Polled::new(async move {
            let started = Dispatcher::start(handle, defender, changes, clock, Metrics::new()).await;
            match started {
                Ok(dispatcher) => {
                    dispatcher.run(stopped).await;
                    true
                }
                Err(_) => false,
            }
        });
        Self { store, process, stop, options }
    }
}

fn defender(clock: &Clock, outbox: &Outbox) -> Defender {
    let options = defender::Options {
        api_url: "https://defender.example.test".parse().unwrap(),
        identity: identity("https://login.example.test"),
        scope: "https://api.securitycenter.microsoft.com/.default".to_owned(),
    };
    let exchanges = [exchange(outbox), exchange(outbox)];
    Defender::through(exchanges, &options, clock.clone(), Metrics::new())
}
