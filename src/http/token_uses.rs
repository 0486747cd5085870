//! When each token of the API was last used: kept by the store, once a minute a token at most, while nobody waits for it.

use std::collections::HashMap;
use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};

use crate::store::Store;

/// How long a use stands for those after it.
const EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The uses that were noted by this process. Only tokens that the store knows get here, so they are few.
#[derive(Debug, Default)]
pub(super) struct TokenUses {
    #[expect(clippy::disallowed_types, reason = "held for one look and one note, never across an await")]
    noted: std::sync::Mutex<HashMap<String, Timestamp>>,
}

impl TokenUses {
    /// Notes a use. One that the store has no room for is noted with the next.
    pub(super) fn note(&self, id: &str, store: &Store, now: Timestamp) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not keep uses from being noted.
        let is_fresh = |at: &Timestamp| (SignedDuration::ZERO..EVERY).contains(&now.duration_since(*at));
        if noted.get(id).is_some_and(is_fresh) {
            return;
        }
        if store.note_token_use(id.to_owned(), now) {
            noted.insert(id.to_owned(), now);
        }
    }
}
