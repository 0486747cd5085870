//! What a delivery on disk brings, now or when it is read again.

use jiff::Timestamp;

use crate::alert::{
    Alert, DeliveryId, GraphAlertId, RefusedAlert, Requested, SourceName, SubscriptionNotice, Who,
};

/// What a delivery on disk brings, now or when it is read again.
pub(super) struct Batch<'a> {
    pub(super) delivery_id: DeliveryId,
    pub(super) source: &'a SourceName,
    pub(super) alerts: &'a [Alert],
    pub(super) refused: &'a [RefusedAlert],
    pub(super) references: &'a [GraphAlertId],
    pub(super) notices: &'a [SubscriptionNotice],
    /// Who brings it.
    pub(super) who: &'a Who,
    /// What is asked for with it, if a caller of the API brings it.
    pub(super) requested: Option<&'a Requested>,
    pub(super) now: Timestamp,
}

impl Batch<'_> {
    /// Says whether nothing in it can become an action, now or later.
    pub(super) fn is_refused(&self) -> bool {
        self.alerts.is_empty() && self.references.is_empty() && self.notices.is_empty()
    }

    /// Returns the word that the delivery is kept with.
    pub(super) fn outcome(&self) -> &'static str {
        if self.is_refused() { "refused" } else { "accepted" }
    }
}
