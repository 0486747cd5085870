//! After a start, nothing is sent before Defender's list was read for every call whose answer is unknown. Pure.

use std::collections::HashSet;

use crate::alert::ActionId;

/// The actions that were unsettled at the start and have not been looked for since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstLook(HashSet<ActionId>);

impl FirstLook {
    /// Begins with the actions that are unsettled at the start.
    pub(super) fn new(unsettled: Vec<ActionId>) -> Self {
        Self(unsettled.into_iter().collect())
    }

    /// The whole list was read for an action.
    pub(super) fn done(&mut self, action: ActionId) {
        self.0.remove(&action);
    }

    /// Only these are unsettled still; the others were settled in another way.
    pub(super) fn keep(&mut self, unsettled: &[ActionId]) {
        self.0.retain(|action| unsettled.contains(action));
    }

    /// Says whether sending may begin.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
