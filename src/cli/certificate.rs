//! Takes up changed certificates of the listener, and tells when the one that is shown ends.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time;

use crate::clock::Clock;
use crate::config::{Refresh, TlsFiles};
use crate::http::Tls;
use crate::telemetry::{Metrics, metric};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How long before its end a certificate is warned of.
const NEAR_END: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How often it is warned of.
const WARNING: SignedDuration = SignedDuration::from_hours(24);

/// Looks at the files again and again.
pub(super) async fn watch(mut files: TlsFiles, tls: Tls, metrics: Metrics) {
    let clock = Clock::system();
    let mut warned_at = tell_end(&tls, &metrics, clock.now(), None);
    loop {
        time::sleep(LOOK).await;
        let is_new = refresh(&mut files, &tls, &metrics);
        warned_at = tell_end(&tls, &metrics, clock.now(), warned_at.filter(|_| !is_new));
    }
}

/// Says whether a new certificate is shown.
fn refresh(files: &mut TlsFiles, tls: &Tls, metrics: &Metrics) -> bool {
    match files.refresh(tls) {
        Refresh::Unchanged => false,
        Refresh::Loaded => {
            metrics.count(&metric::TLS_RELOADS, &[("result", "loaded")]);
            tracing::info!(not_after = %tls.not_after(), "the listener shows a new certificate");
            true
        }
        Refresh::Refused(why) => {
            metrics.count(&metric::TLS_RELOADS, &[("result", "refused")]);
            refused(&why);
            false
        }
    }
}

fn refused(why: &str) {
    tracing::error!(why, "the listener's new certificate is not taken; the old one stays");
}

/// Warns of a certificate that ends soon, now and then; returns when it did last.
fn tell_end(tls: &Tls, metrics: &Metrics, now: Timestamp, warned_at: Option<Timestamp>) -> Option<Timestamp> {
    let not_after = tls.not_after();
    let seconds = not_after.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
    metrics.set(&metric::TLS_CERTIFICATE_EXPIRY, &[], seconds);
    let left = not_after.duration_since(now);
    let is_told = warned_at.is_some_and(|at| now.duration_since(at) < WARNING);
    if left >= NEAR_END || is_told {
        return warned_at;
    }
    let hours = left.as_hours();
    tracing::warn!(%not_after, hours, "the listener's certificate ends soon; put a new one into its files");
    Some(now)
}
