//! What holds sending, told to people: breakers by metric and log line, and the first look after a start.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{
    Anchor, BreakerReport, BreakerState, OpenBreaker, Trouble, Unsettled, Upstream, after, before,
};
use crate::defender::{ReadError, TokenError};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::breaker::{Heard, Pass};
use super::{Dispatcher, STORE_RETRY};

impl Dispatcher {
    /// Says whether no quarantine call may leave before Defender's list was read once.
    pub(super) async fn waits_for_first_look(&mut self) -> Result<bool, StoreError> {
        if self.first_look.is_over() {
            return Ok(false);
        }
        self.first_look.keep(&self.store.uncertain().await?);
        if self.first_look.is_over() {
            tracing::info!("Defender's list was read for every call of the last run; sending begins");
        }
        Ok(!self.first_look.is_over())
    }

    /// Draws the conclusion from a call, and tells if that opens or closes a breaker.
    pub(super) fn hear(&mut self, upstream: Upstream, pass: Pass, heard: Heard, now: Timestamp) {
        let before = self.upstreams.report(upstream);
        self.upstreams.hear(upstream, pass, heard, now);
        let report = self.upstreams.report(upstream);
        if report != before {
            match (&before.open, &report.open) {
                (Some(_), None) => tracing::info!(%upstream, "it works again, calls go through"),
                (before, Some(open)) => tell_open(upstream, open, before.is_none()),
                (None, None) => {}
            }
            self.show_breakers();
        }
    }

    pub(super) fn show_breakers(&self) {
        let reports = self.upstreams.reports();
        let series = reports.iter().map(|report| {
            let value = if report.state == BreakerState::Closed { 0.0 } else { 1.0 };
            (labels(report), value)
        });
        self.metrics.replace(&metric::BREAKER_OPEN, series);
    }

    pub(super) fn show_hold(&self, is_first_look: bool) {
        let is_held = is_first_look || self.upstreams.hold_sending();
        self.metrics.set(&metric::SENDING_PAUSED, &[], if is_held { 1.0 } else { 0.0 });
    }

    /// After the store could not take an intent, no other is tried for a moment.
    pub(super) fn store_failed(&mut self, error: &StoreError, now: Timestamp) {
        self.store_retry_at = after(now, STORE_RETRY);
        tracing::error!(%error, "the store could not take an intent; nothing is sent without one");
    }

    /// Lets nothing wait longer because the time of day was set back.
    pub(super) async fn heed_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let steady = self.clock.steady();
        if let Some(by) = self.last_turn.was_set_back(now, steady) {
            tracing::warn!(seconds = by.as_secs(), "the time of day was set back; waits end by the new time");
            self.store.set_back(by, now).await?;
            self.upstreams.set_back(by);
            self.lookups.set_back(by);
            let times = [&mut self.next_look, &mut self.next_expiry, &mut self.store_retry_at];
            for time in times.into_iter().chain([&mut self.next_alarm]).chain(&mut self.taken_at) {
                *time = before(*time, by);
            }
        }
        self.last_turn = Anchor::new(now, steady);
        Ok(())
    }

    /// Tells that Defender's list cannot be read; loudly when a person must do something.
    pub(super) fn tell_unread(&mut self, error: &ReadError, unsettled: &[Unsettled], now: Timestamp) {
        let since = |it: &Unsettled| now.duration_since(it.action.changed_at);
        let overdue = unsettled.iter().filter(|it| since(it) > Unsettled::OVERDUE_AFTER);
        let Some(oldest) = overdue.max_by_key(|it| since(it)).filter(|_| now >= self.next_alarm) else {
            tracing::warn!(%error, "Defender's list cannot be read; nothing that is uncertain is sent again");
            return;
        };
        self.next_alarm = after(now, Unsettled::OVERDUE_AFTER);
        let minutes = since(oldest).as_mins();
        tracing::error!(%error, action = %oldest.action.id, minutes,
            "an action is uncertain and Defender's list cannot be read: it is not sent again and holds up its device; \
             make the list readable (role Machine.Read.All, network, Microsoft's service health), or look in Defender's \
             Action center");
    }
}

/// Tells that calls are held, and what to do.
fn tell_open(upstream: Upstream, open: &OpenBreaker, is_new: bool) {
    let OpenBreaker { trouble, said, since, next_try_at } = open;
    // Without a time, the probe has begun.
    let Some(until) = next_try_at else {
        return;
    };
    let remedy = trouble.remedy();
    if is_new && *trouble == Trouble::Unauthorized {
        // The token may have been withdrawn: the probe takes a fresh one.
        return tracing::warn!(%upstream, said, "Defender did not take the token; a fresh one is tried");
    }
    tracing::error!(%upstream, reason = %trouble, said, %since, %until, remedy, "calls are held, actions wait");
}

fn labels(report: &BreakerReport) -> Vec<(&'static str, &'static str)> {
    let reason = report.open.as_ref().map_or("none", |open| open.trouble.as_str());
    vec![("upstream", report.upstream.as_str()), ("state", report.state.as_str()), ("reason", reason)]
}

/// What a failed read tells of the list.
pub(super) fn heard_of(error: &ReadError) -> Heard {
    let bad = |trouble| Heard::Bad(trouble, error.to_string());
    match error {
        ReadError::Token(_) | ReadError::Throttled { .. } => Heard::Nothing,
        ReadError::NoAnswer(_) => bad(Trouble::Unreachable),
        ReadError::Unauthorized(_) => bad(Trouble::Unauthorized),
        ReadError::Forbidden(_) => bad(Trouble::Forbidden),
        ReadError::NotFound(_)
        | ReadError::BadRequest(_)
        | ReadError::Refused(_)
        | ReadError::Garbage(_)
        | ReadError::TooLong
        | ReadError::ForeignLink => bad(Trouble::NoClearAnswer),
    }
}

/// What it tells of the token endpoint that it gave no token.
pub(super) fn heard_of_token(error: &TokenError) -> Heard {
    let trouble = match error {
        TokenError::Refused { .. } | TokenError::NoProof(_) => Trouble::TokenRefused,
        TokenError::NoAnswer(_) => Trouble::Unreachable,
        TokenError::RoleMissing(_) => Trouble::RoleMissing,
    };
    Heard::Bad(trouble, error.to_string())
}

/// How long Defender asks to leave the list alone; after other failures its breaker says.
pub(super) fn throttled(error: &ReadError) -> Option<SignedDuration> {
    match error {
        ReadError::Throttled { wait, .. } => Some(*wait),
        _ => None,
    }
}
