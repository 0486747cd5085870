//! What is kept of one issuer, and for how long it serves. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Moment, after};
use crate::ingest::jwt::KeySet;

/// How old a key set may be before it is fetched anew.
const LIFE: SignedDuration = SignedDuration::from_hours(1);

/// How long a key set serves while the issuer cannot be reached.
const LIFE_WITHOUT_ISSUER: SignedDuration = SignedDuration::from_hours(24);

/// The least time between two fetches, whoever asks.
const BETWEEN: SignedDuration = SignedDuration::from_secs(60);

/// The time between two fetches while there is nothing that serves: every delivery is put off until then.
const BETWEEN_WITHOUT_KEYS: SignedDuration = SignedDuration::from_secs(10);

/// What is kept of one issuer.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The last key set, and when it was fetched.
    set: Option<(Arc<KeySet>, Moment)>,
    /// When a fetch last ended.
    tried_at: Option<Moment>,
    /// How many fetches have ended.
    tries: u64,
}

impl Kept {
    /// Says whether it is time for a fetch.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        match &self.set {
            Some((_, fetched_at)) if now.longest_since(*fetched_at) < LIFE => false,
            Some(_) if self.usable(now).is_some() => self.is_rested(BETWEEN, now),
            _ => self.is_rested(BETWEEN_WITHOUT_KEYS, now),
        }
    }

    /// Says whether somebody who asks gets a fetch.
    pub(super) fn may_renew(&self, now: Moment) -> bool {
        self.is_rested(BETWEEN, now)
    }

    fn is_rested(&self, between: SignedDuration, now: Moment) -> bool {
        self.tried_at.is_none_or(|tried_at| now.longest_since(tried_at) >= between)
    }

    /// How many fetches have ended: another number says that one more has.
    pub(super) fn tries(&self) -> u64 {
        self.tries
    }

    /// The key set, if it may still serve.
    pub(super) fn usable(&self, now: Moment) -> Option<Arc<KeySet>> {
        self.no_older_than(LIFE_WITHOUT_ISSUER, now)
    }

    /// The key set, if it tells what the issuer has at this time.
    pub(super) fn fresh(&self, now: Moment) -> Option<Arc<KeySet>> {
        self.no_older_than(BETWEEN, now)
    }

    fn no_older_than(&self, age: SignedDuration, now: Moment) -> Option<Arc<KeySet>> {
        let (set, fetched_at) = self.set.as_ref()?;
        (now.longest_since(*fetched_at) < age).then(|| Arc::clone(set))
    }

    /// When the key set ends to serve.
    pub(super) fn usable_until(&self) -> Option<Timestamp> {
        self.set.as_ref().map(|(_, fetched_at)| after(fetched_at.at, LIFE_WITHOUT_ISSUER))
    }

    pub(super) fn fetched(&mut self, set: Arc<KeySet>, now: Moment) {
        self.set = Some((set, now));
        self.failed(now);
    }

    /// A fetch has ended with nothing new.
    pub(super) fn failed(&mut self, now: Moment) {
        self.tried_at = Some(now);
        self.tries = self.tries.saturating_add(1);
    }
}
