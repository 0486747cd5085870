//! Takes up changed certificates of the listener, and tells when the one that is shown ends.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time;

use crate::clock::Clock;
use crate::config::{Refresh, TlsFiles};
use crate::http::Tls;
use crate::telemetry::{Metrics, metric};

/// How often the files of the listener's certificate are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);

/// How long before its end a certificate is warned of.
const CERTIFICATE_NEAR_END: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How often it is warned of.
const CERTIFICATE_WARNING: SignedDuration = SignedDuration::from_hours(24);

/// Watches the files of the listener's certificate.
pub(super) struct CertificateWatch {
    files: TlsFiles,
    tls: Tls,
    metrics: Metrics,
    clock: Clock,
    warned_at: Option<Timestamp>,
}

impl CertificateWatch {
    pub(super) fn new(files: TlsFiles, tls: Tls, metrics: Metrics, clock: Clock) -> Self {
        Self { files, tls, metrics, clock, warned_at: None }
    }

    /// Works until it is aborted.
    pub(super) async fn run(mut self) {
        loop {
            self.tell_end();
            time::sleep(CERTIFICATE_LOOK).await;
            self.refresh();
        }
    }

    fn tell_end(&mut self) {
        let now = self.clock.now();
        let not_after = self.tls.not_after();
        let seconds = not_after.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
        self.metrics.set(&metric::TLS_CERTIFICATE_EXPIRY, &[], seconds);
        let left = not_after.duration_since(now);
        let is_due = self.warned_at.is_none_or(|at| now.duration_since(at) >= CERTIFICATE_WARNING);
        if left < CERTIFICATE_NEAR_END && is_due {
            self.warned_at = Some(now);
            let days = left.as_hours().div_euclid(24);
            tracing::warn!(%not_after, days, "the listener's certificate ends soon; put a new one into its files");
        }
    }

    fn refresh(&mut self) {
        match self.files.refresh(&self.tls) {
            Refresh::Unchanged => {}
            Refresh::Loaded => self.loaded(),
            Refresh::Refused(why) => {
                self.metrics.count(&metric::TLS_RELOADS, &[("result", "refused")]);
                tracing::error!(why, "the listener's new certificate is not taken; the old one stays");
            }
        }
    }

    fn loaded(&mut self) {
        self.warned_at = None;
        self.metrics.count(&metric::TLS_RELOADS, &[("result", "loaded")]);
        tracing::info!(not_after = %self.tls.not_after(), "the listener shows a new certificate");
    }
}
