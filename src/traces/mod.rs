//! Traces over OTLP: tells a collector of each action that has ended, one trace from delivery to the end.
//!
//! The audit is the queue, as it is for callbacks: a trace is made when it has the end of an action, from that action's own record. So
//! nothing waits for the collector, nothing is kept in memory, and a restart neither loses a trace nor cuts it in two. `span` is pure.

mod span;

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request};
use tokio::sync::watch;
use tokio::time::sleep;
use url::Url;

use crate::alert::ActionId;
use crate::audit::Entry;
use crate::outgoing::{ClientError, Outgoing, causes};
use crate::store::{AuditRow, Store, StoreError};
use crate::telemetry::{Metrics, metric};

/// How often it is looked for ends of actions.
const EVERY: Duration = Duration::from_secs(2);

/// The longest wait after the collector gave no good answer.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many entries of the audit are read at once.
const PAGE: u32 = 200;

/// How far behind a collector may be unless something else is said: some 5,000 actions.
const BEHIND_MAX: u64 = 50_000;

/// Who is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The base address of a collector, to which `/v1/traces` is added.
    pub collector: Url,
    /// How far behind it may be, in entries of the audit. What is older is not told any more.
    pub behind_max: u64,
}

impl Options {
    /// The usual ones for a collector.
    pub fn new(collector: Url) -> Self {
        Self { collector, behind_max: BEHIND_MAX }
    }
}

/// Tells a collector of traces, for as long as it runs.
pub struct Traces {
    store: Store,
    metrics: Metrics,
    collector: Option<Collector>,
    /// Failures in a row.
    failures: u32,
}

struct Collector {
    /// How far behind it may be.
    behind_max: u64,
    url: Url,
    http: Client,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("failures", &self.failures).finish_non_exhaustive()
    }
}

/// What came of telling the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Sent,
    /// It does not take this and never will.
    Dropped,
    /// It may take it later.
    Later,
}

impl Traces {
    /// Makes the loop; it runs when it is awaited. Without options nothing is told.
    pub fn new(store: Store, metrics: Metrics, options: Option<&Options>) -> Result<Self, ClientError> {
        let collector = options.map(Collector::new).transpose()?;
        Ok(Self { store, metrics, collector, failures: 0 })
    }

    /// Works until it is told to stop.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                // An error says that nobody is left to tell: that is a stop too. What it breaks off is told after the next start.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = self.turn() => {}
            }
        }
    }

    async fn turn(&mut self) {
        if let Err(error) = self.drain().await {
            tracing::warn!(%error, "traces cannot be read; it is tried again");
        }
        sleep(EVERY.saturating_mul(2_u32.saturating_pow(self.failures.min(10))).min(WAIT_MAX)).await;
    }

    /// Tells all that is to be told now, until the collector gives no good answer.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        let Some(collector) = &self.collector else {
            return Ok(());
        };
        let mut place = self.place(collector.behind_max).await?;
        loop {
            let rows = self.store.audit(place, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else {
                return Ok(());
            };
            let mut records = Vec::new();
            for action in rows.iter().filter_map(ended) {
                records.extend(self.store.action(action).await?);
            }
            let told =
                if records.is_empty() { None } else { Some(collector.tell(span::request(&records)).await) };
            if told == Some(Told::Later) {
                self.failures = self.failures.saturating_add(1);
                return Ok(());
            }
            self.failures = 0;
            self.store.traced_to(last).await?;
            place = last;
            let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
            match told {
                Some(Told::Sent) => self.metrics.add(&metric::TRACES, &[("result", "sent")], count),
                Some(Told::Dropped) => self.metrics.add(&metric::TRACES, &[("result", "dropped")], count),
                Some(Told::Later) | None => {}
            }
        }
    }

    /// Up to where the audit was told. At first that is its end: what was over before is no news.
    async fn place(&self, behind_max: u64) -> Result<u64, StoreError> {
        let head = self.store.audit_head().await?.entries;
        let Some(place) = self.store.traced().await? else {
            self.store.traced_to(head).await?;
            return Ok(head);
        };
        // A database that was restored from a backup has its own mark, so it is never ahead of its own audit.
        let oldest = head.saturating_sub(behind_max);
        if place >= oldest {
            return Ok(place);
        }
        let lost = self.ends_between(place, oldest).await?;
        tracing::warn!(lost, "the collector is too far behind; traces of older actions are dropped");
        self.metrics.add(&metric::TRACES, &[("result", "dropped")], lost);
        self.store.traced_to(oldest).await?;
        Ok(oldest)
    }

    async fn ends_between(&self, mut place: u64, end: u64) -> Result<u64, StoreError> {
        let mut ends: u64 = 0;
        while place < end {
            let rows = self.store.audit(place, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else {
                break;
            };
            let found = rows.iter().filter(|row| row.seq <= end && ended(row).is_some()).count();
            ends = ends.saturating_add(u64::try_from(found).unwrap_or(u64::MAX));
            place = last;
        }
        Ok(ends)
    }
}

/// The action whose end an entry tells of, if it does.
fn ended(row: &AuditRow) -> Option<ActionId> {
    let entry = Entry::read(row.text.as_bytes()).ok()?;
    let (subject, _, state) = entry.last_move()?;
    if state.is_final() { subject.action.parse().ok() } else { None }
}

impl Collector {
    fn new(options: &Options) -> Result<Self, ClientError> {
        let mut url = options.collector.clone();
        let http = Outgoing { total_timeout: TIMEOUT, ..Outgoing::new(&url) }.client()?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        Ok(Self { behind_max: options.behind_max, url, http })
    }

    /// Sends spans once. The body of the answer is not read: nothing would be done about it.
    async fn tell(&self, body: String) -> Told {
        let mut request = Request::new(Method::POST, self.url.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        match self.http.execute(request).await {
            Ok(answer) => judged(answer.status().as_u16()),
            Err(error) => away(error),
        }
    }
}

fn away(error: reqwest::Error) -> Told {
    tracing::warn!(why = causes(error), "the collector of traces cannot be reached; it is tried again");
    Told::Later
}

/// What a status says: 401, 403 and 404 are a wrong key's or a proxy's, and pass when a person mends that.
fn judged(status: u16) -> Told {
    let told = match status {
        200..=299 => Told::Sent,
        401 | 403 | 404 | 408 | 429 | 500..=599 => Told::Later,
        _ => Told::Dropped,
    };
    if told != Told::Sent {
        let is_dropped = told == Told::Dropped;
        tracing::warn!(
            status,
            is_dropped,
            "the collector does not take traces; what it may take later is sent again"
        );
    }
    told
}
