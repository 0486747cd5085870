//! Who is told to send it again later, before anything is stored: after failed authentications, over a source's quota,
//! or when the queue is full.

use std::collections::HashMap;
use std::sync::PoisonError;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage as _, HttpRequest};
use jiff::{SignedDuration, Timestamp};

use crate::alert::SourceName;
use crate::ingest::Peer;
use crate::telemetry::metric;

use super::bucket::{Bucket, Rate};
use super::failures::{Door, Failures};
use super::problem::{Problem, ProblemKind};
use super::{Context, Source};

/// How many addresses that failed are remembered.
const FAILURES_MAX: usize = 10_000;

/// How much is let in.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many unfinished actions there may be before deliveries are put off.
    pub unfinished_max: u64,
    /// How often an address may fail to prove itself to a source. A reload does not change it.
    pub failures: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unfinished_max: 100_000, failures: Rate::every(SignedDuration::from_secs(3), 20) }
    }
}

/// How much a source may deliver.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// How often.
    pub rate: Rate,
    /// Whether it sends again what was answered 429. Many senders drop it, and send again what was answered 503.
    pub retries_429: bool,
}

impl Quota {
    /// Deliveries a minute if the configuration does not say.
    pub const DELIVERIES_PER_MINUTE: u32 = 600;

    /// Deliveries at once if the configuration does not say.
    pub const BURST: u32 = 120;
}

impl Default for Quota {
    fn default() -> Self {
        Self { rate: Rate::per_minute(Self::DELIVERIES_PER_MINUTE, Self::BURST), retries_429: false }
    }
}

/// What is left to whom. It outlives a reload of the configuration.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "held for one look or one count, never across an await")]
pub(super) struct Admission {
    quotas: std::sync::Mutex<HashMap<SourceName, Bucket>>,
    failures: std::sync::Mutex<Failures>,
}

impl Admission {
    /// Lets an address fail at this rate at each source.
    #[expect(clippy::disallowed_types, reason = "held for one look or one count, never across an await")]
    pub(super) fn new(failures: Rate) -> Self {
        let failures = Failures::new(failures, FAILURES_MAX);
        Self { quotas: std::sync::Mutex::default(), failures: std::sync::Mutex::new(failures) }
    }

    /// Puts off an address that failed too often at this source, whatever it shows now: others are not touched.
    pub(super) fn check_failures(&self, door: &Door, peer: &Peer, now: Timestamp) -> Result<(), PutOff> {
        match self.wait(door, peer, now) {
            SignedDuration::ZERO => Ok(()),
            wait => Err(PutOff::Failures(wait)),
        }
    }

    /// Returns how long an address that failed too often must wait.
    ///
    /// An address that is not known is let pass, for else one could lock out all of those.
    pub(super) fn wait(&self, door: &Door, peer: &Peer, now: Timestamp) -> SignedDuration {
        let wait =
            |address| self.failures.lock().unwrap_or_else(PoisonError::into_inner).wait(address, door, now);
        peer.address.map_or(SignedDuration::ZERO, wait)
    }

    /// Notes that an address failed.
    pub(super) fn record_failure(&self, door: &Door, peer: &Peer, now: Timestamp) {
        if let Some(address) = peer.address {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).record(address, door, now);
        }
    }

    /// Has the answer to a request of a source tell what is left of its quota.
    pub(super) fn show(&self, request: &HttpRequest, source: &Source, now: Timestamp) {
        let quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = quotas.get(&source.name).copied().unwrap_or(Bucket::FULL);
        request.extensions_mut().insert(Left { rate: source.quota.rate, bucket, now });
    }

    /// Takes one delivery from a source's quota.
    fn take(&self, source: &Source, now: Timestamp) -> Result<(), PutOff> {
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        if !quotas.contains_key(&source.name) {
            // Sources that have left the configuration do not pile up.
            quotas.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = quotas.entry(source.name.clone()).or_insert(Bucket::FULL);
        bucket.take(source.quota.rate, now).map_err(PutOff::OverQuota)
    }
}

/// What is left of a source's quota, for its own eyes (draft-ietf-httpapi-ratelimit-headers). The answer's headers are made of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    rate: Rate,
    bucket: Bucket,
    now: Timestamp,
}

impl Left {
    /// Writes it into an answer.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let seconds =
            |time: SignedDuration| time.as_secs().saturating_add(i64::from(time.subsec_nanos() > 0));
        let whole = seconds(self.rate.whole()).max(1);
        let policy = format!("\"source\";q={};w={whole}", self.rate.burst());
        let left = self.bucket.left(self.rate, self.now);
        let left = format!("\"source\";r={left};t={}", seconds(self.bucket.full_in(self.now)));
        for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Why a delivery is to be sent again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutOff {
    /// Its address failed too often.
    Failures(SignedDuration),
    /// Its source has used up its quota.
    OverQuota(SignedDuration),
    /// Too many actions are unfinished.
    QueueFull,
    /// The threads that read bodies have too much to do.
    Mapper,
    /// The store has too much to do.
    Store,
    /// The answer took too long.
    Late,
}

impl PutOff {
    /// Counts it, and makes the answer of it.
    pub(super) fn tell(self, context: &Context, source: &Source) -> Problem {
        let labels = [("source", source.name.as_str()), ("reason", self.reason())];
        context.metrics.count(&metric::DELIVERIES_PUT_OFF, &labels);
        tracing::warn!(source = source.name.as_str(), reason = self.reason(), "a delivery is put off");
        let nothing = "Nothing was stored. Send it again.";
        match self {
            Self::Failures(wait) => Problem::new(ProblemKind::Busy, nothing).after(wait),
            Self::OverQuota(wait) => {
                let detail = "The source's quota is used up. Nothing was stored. Send it again.";
                let problem = Problem::new(ProblemKind::OverQuota, detail).after(wait);
                if source.quota.retries_429 { problem.with_429() } else { problem }
            }
            Self::QueueFull => {
                let detail = "Too many actions wait for Defender. Nothing was stored. Send it again.";
                let problem = Problem::new(ProblemKind::QueueFull, detail);
                if source.quota.retries_429 { problem.with_429() } else { problem }
            }
            Self::Mapper | Self::Store => Problem::new(ProblemKind::Busy, nothing),
            Self::Late => {
                let detail =
                    "The answer took too long. Send it again: what was stored after all is recognised.";
                Problem::new(ProblemKind::Busy, detail)
            }
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Failures(_) => "failures",
            Self::OverQuota(_) => "over_quota",
            Self::QueueFull => "queue_full",
            Self::Mapper => "mapper",
            Self::Store => "store",
            Self::Late => "late",
        }
    }
}

/// Lets a delivery of a proven sender pass, if there is room for it.
pub(super) async fn admit(context: &Context, source: &Source, now: Timestamp) -> Result<(), Problem> {
    context.admission.take(source, now).map_err(|put_off| put_off.tell(context, source))?;
    let unfinished_max = context.sources.borrow().limits.unfinished_max;
    if context.store.is_full(unfinished_max, now).await? {
        return Err(PutOff::QueueFull.tell(context, source));
    }
    Ok(())
}
