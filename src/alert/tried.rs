//! What earlier calls for the same action are known to have brought.

use jiff::Timestamp;

/// What is known of an action's calls when the next one leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// The number of the call that leaves, from 1.
    pub attempt: u32,
    /// How many calls before it were answered that device or file is not known.
    pub not_found: u32,
    /// How many calls before it were answered that it is not allowed.
    pub forbidden: u32,
    /// When that was answered last.
    pub forbidden_at: Option<Timestamp>,
}

impl Tried {
    /// The first call.
    pub fn first() -> Self {
        Self { attempt: 1, not_found: 0, forbidden: 0, forbidden_at: None }
    }
}
