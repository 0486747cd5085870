//! Has actions decided about which all is known, and tells what was decided.

use std::sync::Arc;

use jiff::Timestamp;

use crate::alert::{Action, ActionId, HeldReason};
use crate::policy::{Answer, Decided, Undecided, Verdict};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::Dispatcher;

impl Dispatcher {
    /// Decides actions about which all is known that Defender can tell.
    pub(super) async fn decide_ready(
        &mut self,
        ready: Vec<Undecided>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if ready.is_empty() {
            return Ok(());
        }
        let ready = Arc::new(ready);
        let steady = self.anchor.time_of(self.clock.steady());
        let decided = self.store.decide(Arc::clone(&ready), now, steady).await?;
        for (undecided, decided) in ready.iter().zip(&decided) {
            if let Some(decided) = decided {
                self.tell_decided(&undecided.action, decided);
            }
        }
        Ok(())
    }

    fn tell_decided(&self, action: &Action, decided: &Decided) {
        let (source, decision) = (action.source.as_str(), decided.verdict.decision.as_str());
        self.metrics.count(&metric::DECISIONS, &[("source", source), ("decision", decision)]);
        self.metrics.count(&metric::STATE_CHANGES, &[("state", decided.verdict.state().as_str())]);
        for finding in decided.verdict.trace.iter().filter(|finding| finding.answer != Answer::Pass) {
            let labels = [("guard", finding.guard.as_str()), ("answer", finding.answer.as_str())];
            self.metrics.count(&metric::GUARDS, &labels);
        }
        tell_breach(action.id, &decided.verdict);
        let unresolved = decided.unresolved.map(HeldReason::as_str);
        if let Some(reason) = unresolved {
            self.metrics.count(&metric::UNRESOLVED, &[("source", source), ("reason", reason)]);
        }
        tracing::info!(action = %action.id, source, alert_id = %action.alert_id, decision, unresolved,
            reason = decided.verdict.reason, "decided");
    }
}

/// Tells that a limit was breached: somebody should know.
pub(super) fn tell_breach(action: ActionId, verdict: &Verdict) {
    if let Some(breach) = &verdict.breach {
        tracing::error!(%action, breach,
            "a limit of blast radius was breached: the breaker is open, and nothing goes out that no person has approved, until a \
             person closes it");
    }
}
