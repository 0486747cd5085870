//! The public keys of the issuers of tokens: fetched in the background, kept, and renewed.
//!
//! Requests never fetch. They read what is kept, and may ask for a look at the issuer, which is granted once a minute
//! whatever is asked. So no stranger can make this service call an issuer more often than that.

mod fetch;
mod kept;

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Client;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::ingest::jwt::{Issuer, KeySet};
use crate::telemetry::{Metrics, metric};

pub use crate::outgoing::ClientError;

use fetch::FetchError;
use kept::Kept;

/// How often it is looked whether keys are due.
const LOOK: Duration = Duration::from_secs(5);

/// How long a delivery waits for new keys; it is answered within a second.
const PATIENCE: Duration = Duration::from_millis(700);

/// No key set is known by which a token could be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the keys of the token's issuer are not known, or too old: look for the last failed fetch in the log, and check that \
     this machine reaches the issuer"
)]
pub struct KeysUnavailable;

/// The key sets of all issuers. A cheap handle.
#[derive(Debug, Clone)]
pub struct Keys {
    issuers: watch::Sender<Issuers>,
    clock: Clock,
    metrics: Metrics,
}

/// The issuers that there are, swapped as a whole when the configuration is read again.
type Issuers = Arc<HashMap<Issuer, Arc<Worker>>>;

impl Keys {
    /// Returns the key set of an issuer.
    ///
    /// # Errors
    ///
    /// If none was fetched in the last day.
    pub fn current(&self, issuer: &Issuer) -> Result<Arc<KeySet>, KeysUnavailable> {
        let worker = self.worker(issuer)?;
        let (kept, now) = (worker.kept.borrow(), self.clock.moment());
        if kept.is_due(now) {
            worker.ask.notify_one();
        }
        kept.usable(now).ok_or(KeysUnavailable)
    }

    /// Returns the key set of an issuer as it is now, for a token whose key is not in the current one.
    ///
    /// # Errors
    ///
    /// If the issuer could not be asked, or did not answer in 700 ms. The token may be good then.
    pub async fn renewed(&self, issuer: &Issuer) -> Result<Arc<KeySet>, KeysUnavailable> {
        let worker = self.worker(issuer)?;
        let mut kept = worker.kept.subscribe();
        let (may_ask, tries) = {
            let kept = kept.borrow_and_update();
            (kept.may_renew(self.clock.moment()), kept.tries())
        };
        if may_ask {
            worker.ask.notify_one();
            // Whatever comes of it, what is kept is judged below.
            drop(timeout(PATIENCE, kept.wait_for(|kept| kept.tries() != tries)).await);
        }
        let kept = kept.borrow();
        kept.fresh(self.clock.moment()).ok_or(KeysUnavailable)
    }

    fn worker(&self, issuer: &Issuer) -> Result<Arc<Worker>, KeysUnavailable> {
        self.issuers.borrow().get(issuer).map(Arc::clone).ok_or(KeysUnavailable)
    }

    /// Takes other issuers. Those that stay keep their keys. On an error all stays as it was.
    pub fn replace(&self, issuers: impl IntoIterator<Item = Issuer>) -> Result<(), ClientError> {
        let known = Arc::clone(&self.issuers.borrow());
        let mut workers = HashMap::new();
        for issuer in issuers {
            if workers.contains_key(&issuer) {
                continue;
            }
            let worker = match known.get(&issuer) {
                Some(worker) => Arc::clone(worker),
                None => Arc::new(Worker::new(issuer.clone(), &self.clock, &self.metrics)?),
            };
            workers.insert(issuer, worker);
        }
        self.issuers.send_replace(Arc::new(workers));
        Ok(())
    }
}

/// Fetches the keys of all issuers for as long as it runs.
pub struct Fetcher {
    issuers: watch::Receiver<Issuers>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("issuers", &self.issuers.borrow().len()).finish_non_exhaustive()
    }
}

/// Fetches the keys of one issuer, one fetch at a time, and keeps them.
#[derive(Debug)]
struct Worker {
    issuer: Issuer,
    http: Client,
    kept: watch::Sender<Kept>,
    ask: Notify,
    clock: Clock,
    metrics: Metrics,
}

/// Makes the handle, and what fetches for it; nothing is fetched before that runs. Several sources may have the same issuer.
pub fn keys(
    issuers: impl IntoIterator<Item = Issuer>,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(Keys, Fetcher), ClientError> {
    let (sender, receiver) = watch::channel(Issuers::default());
    let keys = Keys { issuers: sender, clock: clock.clone(), metrics: metrics.clone() };
    keys.replace(issuers)?;
    Ok((keys, Fetcher { issuers: receiver }))
}

impl Fetcher {
    /// Fetches what is due, until it is told to stop.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let workers: Vec<Arc<Worker>> =
                self.issuers.borrow_and_update().values().map(Arc::clone).collect();
            let work = async {
                join_all(workers.iter().map(|worker| worker.run())).await;
                pending::<()>().await;
            };
            tokio::select! {
                // An error says that nobody is left to tell: that is a stop too.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                Ok(()) = self.issuers.changed() => {}
                () = work => {}
            }
        }
    }
}

impl Worker {
    fn new(issuer: Issuer, clock: &Clock, metrics: &Metrics) -> Result<Self, ClientError> {
        let http = fetch::client(issuer.keys.url())?;
        let (kept, _) = watch::channel(Kept::default());
        let (clock, metrics) = (clock.clone(), metrics.clone());
        Ok(Self { issuer, http, kept, ask: Notify::new(), clock, metrics })
    }

    async fn run(&self) {
        let mut is_asked = false;
        loop {
            let now = self.clock.moment();
            let is_wanted = {
                let kept = self.kept.borrow();
                kept.is_due(now) || (is_asked && kept.may_renew(now))
            };
            if is_wanted {
                self.fetch().await;
            }
            is_asked = tokio::select! {
                () = self.ask.notified() => true,
                () = sleep(LOOK) => false,
            };
        }
    }

    async fn fetch(&self) {
        let fetched = fetch::key_set(&self.http, &self.issuer).await;
        let result = if fetched.is_ok() { "ok" } else { "error" };
        let labels = [("issuer", self.issuer.name.as_str()), ("result", result)];
        self.metrics.count(&metric::ISSUER_FETCHES, &labels);
        match fetched {
            Ok(set) => self.keep(set),
            Err(error) => self.do_without(&error),
        }
    }

    fn keep(&self, set: KeySet) {
        let (issuer, now) = (self.issuer.name.as_str(), self.clock.moment());
        let at = now.at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
        self.metrics.set(&metric::ISSUER_KEYS_FETCHED, &[("issuer", issuer)], at);
        tracing::info!(issuer, keys = set.len(), "the issuer's keys were fetched");
        self.kept.send_modify(|kept| kept.fetched(Arc::new(set), now));
    }

    fn do_without(&self, error: &FetchError) {
        let issuer = self.issuer.name.as_str();
        let serve_until = self.kept.borrow().usable_until().map(tracing::field::display);
        tracing::error!(issuer, %error, serve_until, "the issuer's keys could not be fetched; it is tried again");
        self.kept.send_modify(|kept| kept.failed(self.clock.moment()));
    }
}
