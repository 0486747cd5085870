//! The loop that brings what waits to the bridge: one at a time, the least tried first, of those the oldest.
//!
//! After a failure the destination rests, longer each time in a row, and the next try is that of another
//! delivery if there is one. So a bridge that is away is asked seldom, and one delivery that the bridge
//! cannot digest does not keep back those behind it: each alert stands for itself, and none needs the one
//! before it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{mpsc, watch};
use tokio::time;
use uuid::Uuid;

use crate::alert::Steady;
use crate::spool::{Lock, SpoolError, SpoolId};

use super::{Courier, Tried, next_try, rest};

/// How often the folder is read: other processes put deliveries in, and let set-aside ones wait again.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// A delivery that waits. By the clock that nobody can set: else one that is set back would keep it waiting for so long.
#[derive(Debug, Clone, Copy)]
struct Pending {
    tries: u32,
    due: Steady,
    /// When this process found it.
    since: Steady,
}

/// Sends what waits in a spool. It holds the spool's lock.
#[derive(Debug)]
pub struct Forwarder {
    courier: Courier,
    arrivals: mpsc::Receiver<SpoolId>,
    pending: BTreeMap<SpoolId, Pending>,
    /// Failures since the bridge last took or refused a delivery.
    failures: u32,
    rests_until: Steady,
    looks_at: Steady,
    _lock: Lock,
}

impl Forwarder {
    /// Takes the spool's lock. `arrivals` only wakes: what is in the folder counts.
    pub fn new(courier: Courier, arrivals: mpsc::Receiver<SpoolId>) -> Result<Self, SpoolError> {
        let lock = courier.spool.lock()?;
        Ok(Self {
            courier,
            arrivals,
            pending: BTreeMap::new(),
            failures: 0,
            rests_until: Steady::from_millis(i64::MIN),
            looks_at: Steady::from_millis(i64::MIN),
            _lock: lock,
        })
    }

    /// Sends until it is told to stop; a try under way is finished.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let now = self.courier.clock.steady();
            self.look(now);
            match self.next(now) {
                Some((id, pending)) => self.forward(id, pending).await,
                None => self.wait(now, &mut stop).await,
            }
        }
        let waiting = self.pending.len();
        tracing::info!(waiting, "no more is sent; what waits is on disk");
    }

    /// Reads the folder, if it is time to.
    fn look(&mut self, now: Steady) {
        if now < self.looks_at {
            return;
        }
        self.looks_at = now.after(LOOK_EVERY);
        match self.courier.spool.waiting(self.courier.clock.now()) {
            Ok(ids) => {
                let known = std::mem::take(&mut self.pending);
                let pending = ids
                    .into_iter()
                    .map(|id| (id, known.get(&id).copied().unwrap_or_else(|| self.found(id, now))));
                self.pending = pending.collect();
            }
            Err(error) => tracing::error!(%error, "the spool cannot be read"),
        }
    }

    /// A delivery that this process has not tried yet is due at once.
    fn found(&self, id: SpoolId, now: Steady) -> Pending {
        Pending { tries: self.courier.spool.tries(id), due: now, since: now }
    }

    fn next(&self, now: Steady) -> Option<(SpoolId, Pending)> {
        if now < self.rests_until {
            return None;
        }
        let due = self.pending.iter().filter(|(_, pending)| pending.due <= now);
        due.min_by_key(|(id, pending)| (pending.tries, **id)).map(|(id, pending)| (*id, *pending))
    }

    async fn forward(&mut self, id: SpoolId, pending: Pending) {
        let tried_for = self.courier.clock.steady().since(pending.since);
        let came = self.courier.deliver(id, pending.tries, tried_for).await;
        let (now, steady) = (self.courier.clock.now(), self.courier.clock.steady());
        let (Tried::Kept { verdict, .. } | Tried::Dead { verdict }) = &came else {
            // The bridge is there, and can be asked for the next one at once.
            self.pending.remove(&id);
            self.failures = 0;
            return;
        };
        let tries = pending.tries.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
        let rested = rest(verdict, self.failures, chance(), now);
        let due = next_try(verdict, tries, chance(), now).unwrap_or(now);
        self.rests_until = steady.after(rested.duration_since(now));
        if matches!(came, Tried::Dead { .. }) {
            self.pending.remove(&id);
        } else {
            let due = steady.after(due.duration_since(now));
            self.pending.insert(id, Pending { tries, due, ..pending });
        }
    }

    /// Waits for an arrival, for the next moment at which there may be something to do, or for the end.
    async fn wait(&mut self, now: Steady, stop: &mut watch::Receiver<bool>) {
        let due = self.pending.values().map(|pending| pending.due).min();
        let due = due.map_or(self.looks_at, |due| due.max(self.rests_until).min(self.looks_at));
        let wait = Duration::try_from(due.since(now)).unwrap_or_default();
        tokio::select! {
            _ = stop.changed() => {}
            arrival = self.arrivals.recv() => match arrival {
                Some(id) => {
                    self.pending.entry(id).or_insert(Pending { tries: 0, due: now, since: now });
                }
                // The listener is gone; the end is near.
                None => time::sleep(wait).await,
            },
            () = time::sleep(wait) => {}
        }
    }
}

fn chance() -> u8 {
    Uuid::new_v4().into_bytes().first().copied().unwrap_or_default()
}
