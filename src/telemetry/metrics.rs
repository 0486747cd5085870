//! Counts what happens, for Prometheus. Each server has its own; nothing is global.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::log;
use super::metric::{ALL, BUILD_INFO, Kind, LOG_LINES_DROPPED, Metric};

/// Upper bounds of the histogram's buckets, in seconds: a delivery is answered in milliseconds, 1 s is too
/// long.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Labels of one measurement, from fixed lists and configured names only.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// The service's metrics. A cheap handle.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    /// Gauges whose series come and go, each as text. The recorder never forgets a series.
    #[expect(clippy::disallowed_types, reason = "held for one look or one change, never across an await")]
    replaced: Arc<std::sync::Mutex<BTreeMap<&'static str, String>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

const METADATA: Metadata<'static> = Metadata::new("quarantine_bridge", Level::INFO, None);

impl Metrics {
    /// Starts with every metric described and none measured.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // Refuses only an empty list of buckets.
        let builder = builder.set_buckets(&BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        for metric in ALL.into_iter().flatten() {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
        let metrics =
            Self { handle: recorder.handle(), recorder: Arc::new(recorder), replaced: Arc::default() };
        metrics.set(&BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        metrics
    }

    /// Adds one to a counter.
    pub fn count(&self, metric: &Metric, labels: Labels<'_>) {
        self.recorder.register_counter(&key(metric, labels), &METADATA).increment(1);
    }

    /// Adds so many to a counter.
    pub fn add(&self, metric: &Metric, labels: Labels<'_>, count: u64) {
        self.recorder.register_counter(&key(metric, labels), &METADATA).increment(count);
    }

    /// Sets a gauge.
    pub fn set(&self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.recorder.register_gauge(&key(metric, labels), &METADATA).set(value);
    }

    /// Sets a gauge's series, all of them: those that it had before are gone.
    pub fn replace<'l>(
        &self,
        metric: &Metric,
        series: impl Iterator<Item = (Vec<(&'static str, &'l str)>, f64)>,
    ) {
        let Metric { name, help, .. } = metric;
        let line = |(labels, value): (Vec<(&str, &str)>, f64)| {
            // Labels are names and ids, which hold nothing that would have to be escaped.
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
            format!("{name}{{{}}} {value}\n", labels.join(","))
        };
        let text: String = [format!("# HELP {name} {help}\n# TYPE {name} gauge\n")]
            .into_iter()
            .chain(series.map(line))
            .collect();
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).insert(metric.name, text);
    }

    /// Adds an observation to a histogram.
    pub fn observe(&self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.recorder.register_histogram(&key(metric, labels), &METADATA).record(value);
    }

    /// Returns everything in Prometheus' text form.
    pub fn render(&self) -> String {
        let dropped = self.recorder.register_counter(&key(&LOG_LINES_DROPPED, &[]), &METADATA);
        dropped.absolute(log::dropped_lines());
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let more = replaced.values().map(String::as_str);
        [self.handle.render().as_str()].into_iter().chain(more).collect()
    }

    /// Folds observations into buckets; to be called now and then, or they pile up in memory.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn key(metric: &Metric, labels: Labels<'_>) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}
