//! The call that cancels a machine action.

use crate::alert::CancelOutcome;
use crate::microsoft::Failure;
use crate::store::RecordedCancel;
use crate::telemetry::metric;

use super::{Defender, Token, classify_cancel, posted, wire};

impl Defender {
    /// Cancels a machine action: one request, no retry, no redirect. Any one of seven app roles will do, among them
    /// Machine.StopAndQuarantine, which is needed anyway (reference, defender-api 2).
    ///
    /// The record is used up. A call without one does not compile:
    ///
    /// ```no_run
    /// # use quarantine_bridge::{defender::{Defender, Token}, store::RecordedCancel};
    /// async fn call(defender: Defender, token: Token, cancel: RecordedCancel) {
    ///     defender.cancel_machine_action(&token, cancel).await;
    /// }
    /// ```
    ///
    /// ```compile_fail,E0061
    /// # use quarantine_bridge::{defender::{Defender, Token}, store::RecordedCancel};
    /// async fn call(defender: Defender, token: Token, cancel: RecordedCancel) {
    ///     defender.cancel_machine_action(&token).await;
    /// }
    /// ```
    pub async fn cancel_machine_action(&self, token: &Token, cancel: RecordedCancel) -> CancelOutcome {
        let url = self.url(&["machineactions", cancel.machine_action().as_str(), "cancel"]);
        let body = wire::cancel(cancel.comment());
        let outcome = match self.answer(posted(url, token, body), "cancel").await {
            Ok(answer) => classify_cancel(&answer, self.now()),
            Err(Failure::NotSent(why)) => CancelOutcome::NotSent { why },
            Err(Failure::Lost(why) | Failure::TooLong(why)) => CancelOutcome::Unknown { why, status: None },
        };
        self.metrics.count(&metric::CANCEL_CALLS, &[("outcome", outcome.as_str())]);
        outcome
    }
}
