//! The loop that has the store delete what is over and old.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::clock::Clock;
use crate::store::{Deleted, Retention, Store, StoreError};
use crate::telemetry::{Metrics, metric};

/// How often it looks. A day's worth of deliveries is deleted in minutes, so more often would find little.
const EVERY: Duration = Duration::from_hours(1);

/// How long it waits after the store failed.
const RETRY: Duration = Duration::from_mins(1);

/// How many times as long as a step took the next one waits: the writer is there for deliveries.
const REST: u32 = 3;

/// Deletes what is too old, now and then, for as long as it runs.
#[derive(Debug)]
pub struct Pruner {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    /// How long things are kept, when the configuration is read again.
    changes: watch::Receiver<Retention>,
}

impl Pruner {
    /// Makes the loop; it runs when it is awaited.
    pub fn new(store: Store, clock: Clock, metrics: Metrics, changes: watch::Receiver<Retention>) -> Self {
        Self { store, clock, metrics, changes }
    }

    /// Works until it is told to stop. What it is at then is finished at the next start.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                // An error says that nobody is left to tell: that is a stop too.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = self.work() => {}
            }
        }
    }

    /// Deletes what is too old, and waits until it may be worth while to look again.
    async fn work(&mut self) {
        let wait = match self.walk().await {
            Ok(_) => EVERY,
            Err(error) => {
                tracing::error!(%error, "what is too old cannot be deleted");
                RETRY
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            Ok(()) = self.changes.changed() => {}
        }
    }

    /// Deletes all that is too old, step by step; returns how much that was.
    pub async fn walk(&mut self) -> Result<Deleted, StoreError> {
        let retention = *self.changes.borrow_and_update();
        let mut walk = self.store.begin_pruning(retention, self.clock.now()).await?;
        let mut sum = Deleted::default();
        while !walk.is_over() {
            let begin = Instant::now();
            walk = self.store.prune(walk).await?;
            self.count(walk.deleted);
            sum = sum.plus(walk.deleted);
            sleep(begin.elapsed().saturating_mul(REST)).await;
        }
        if sum != Deleted::default() {
            tracing::info!(actions = sum.actions, deliveries = sum.deliveries, "what was too old is deleted");
        }
        Ok(sum)
    }

    fn count(&self, deleted: Deleted) {
        let counts = [
            ("actions", deleted.actions),
            ("deliveries", deleted.deliveries),
            ("messages", deleted.messages),
        ];
        for (what, count) in counts {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.metrics.add(&metric::PRUNED, &[("what", what)], count);
        }
    }
}
