//! When each key was last used: shows when an old one has gone quiet and may be taken away.

use std::collections::HashMap;
use std::sync::PoisonError;

use jiff::Timestamp;

use crate::alert::SourceName;
use crate::ingest::KeyId;
use crate::telemetry::{Metrics, metric};

use super::{Source, Sources};

/// The label of certificates that are bound by name: each renewal is another key, and labels must not grow without end.
const BY_NAME: &str = "by_name";

/// The last uses of configured keys.
#[derive(Debug, Default)]
pub(super) struct KeyUses {
    #[expect(clippy::disallowed_types, reason = "held for one look or one note, never across an await")]
    last: std::sync::Mutex<HashMap<(SourceName, String), Timestamp>>,
}

impl KeyUses {
    /// Notes and counts a use.
    pub(super) fn note(&self, source: &Source, key_id: &KeyId, metrics: &Metrics, now: Timestamp) {
        let is_listed = source.gate.key_ids().contains(key_id);
        let label = if is_listed { key_id.as_str() } else { BY_NAME };
        metrics.count(&metric::KEY_USES, &[("source", source.name.as_str()), ("key_id", label)]);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert((source.name.clone(), label.to_owned()), now);
    }

    /// Returns when a key was last used since the start.
    pub(super) fn last(&self, source: &SourceName, key_id: &KeyId) -> Option<Timestamp> {
        let key = (source.clone(), key_id.as_str().to_owned());
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// Shows every configured key, 0 for one that was not used since the start. Others are forgotten.
    pub(super) fn show(&self, sources: &Sources, metrics: &Metrics) {
        let configured = |source: &Source| -> Vec<(SourceName, String)> {
            let ids = source.gate.key_ids().into_iter().map(|id| id.as_str().to_owned());
            let by_name = source.gate.binds_names().then(|| BY_NAME.to_owned());
            ids.chain(by_name).map(|id| (source.name.clone(), id)).collect()
        };
        let keys: Vec<(SourceName, String)> = sources.all().flat_map(configured).collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|key, _| keys.contains(key));
        let series = keys.iter().map(|key| {
            let at = last.get(key).map_or(0.0, |at| at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64());
            (vec![("source", key.0.as_str()), ("key_id", key.1.as_str())], at)
        });
        metrics.replace(&metric::KEY_LAST_USE, series);
    }
}
