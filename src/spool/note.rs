//! What is known of the tries of a delivery.

use serde::{Deserialize, Serialize};

/// The longest note read.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A note beside a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried last, as RFC 3339.
    pub tried_at: String,
    /// What came of it.
    pub reason: String,
    /// What the bridge answered, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl Note {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
