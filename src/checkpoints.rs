//! The loop that has the audit signed, now and then, and shows how long it is.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::alert::after;
use crate::audit::SigningKey;
use crate::clock::Clock;
use crate::store::{AuditHead, Store, StoreError};
use crate::telemetry::{Metrics, metric};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(30);

/// How the audit is signed.
#[derive(Debug, Clone)]
pub struct Options {
    /// With which key.
    pub key: Arc<SigningKey>,
    /// How often. An hour is what the reference has (security 2.5).
    pub every: SignedDuration,
}

/// Signs the audit when it is time, for as long as it runs.
#[derive(Debug)]
pub struct Checkpoints {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    options: Option<Options>,
}

impl Checkpoints {
    /// Makes the loop; it runs when it is awaited. Without options nothing is signed.
    pub fn new(store: Store, clock: Clock, metrics: Metrics, options: Option<Options>) -> Self {
        Self { store, clock, metrics, options }
    }

    /// Works until it is told to stop.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.look().await {
                tracing::error!(%error, "the audit cannot be signed or read");
            }
            tokio::select! {
                // An error says that nobody is left to tell: that is a stop too.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = sleep(EVERY) => {}
            }
        }
    }

    /// Signs the audit if it is time, and shows where it stands.
    pub async fn look(&self) -> Result<(), StoreError> {
        let mut head = self.store.audit_head().await?;
        let now = self.clock.now();
        if let Some(options) = self.options.as_ref().filter(|options| is_due(&head, options, now)) {
            let checkpoint = self.store.sign_audit(Arc::clone(&options.key), now).await?;
            // Whoever collects the log keeps it where the audit is not.
            tracing::info!(checkpoint, "audit checkpoint");
            head = self.store.audit_head().await?;
        }
        self.show(&head);
        Ok(())
    }

    fn show(&self, head: &AuditHead) {
        let entries = u32::try_from(head.entries).unwrap_or(u32::MAX);
        self.metrics.set(&metric::AUDIT_ENTRIES, &[], f64::from(entries));
        let at = head.checkpoint_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let seconds = at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
        self.metrics.set(&metric::AUDIT_CHECKPOINT, &[], seconds);
    }
}

/// A clock that was set back makes it due too.
fn is_due(head: &AuditHead, options: &Options, now: Timestamp) -> bool {
    head.checkpoint_at.is_none_or(|at| now < at || now >= after(at, options.every))
}
