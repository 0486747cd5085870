//! The table of metrics in docs/reference/metrics.md, and what `/metrics` really shows.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use jiff::SignedDuration;
use quarantine_bridge::telemetry::metric::{ALL, Kind, Metric};

use crate::harness::{Bridge, MACHINE, SHA1, Setup, without_facts};

/// The document, and where its table begins.
const DOCUMENT: &str = "docs/reference/metrics.md";
const HEAD: &str = "| metric | kind | meaning |\n|---|---|---|\n";

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn all() -> impl Iterator<Item = &'static Metric> {
    ALL.iter().copied().flatten()
}

/// `UPDATE=1` writes the table anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "a person asks for an update by the environment")]
fn the_document_has_every_metric_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(HEAD).unwrap();
    let after: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect();
    let row = |metric: &Metric| format!("| `{}` | {} | {} |\n", metric.name, word(metric.kind), metric.help);
    let wanted = format!("{before}{HEAD}{}{after}", all().map(row).collect::<String>());
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), wanted, "UPDATE=1 cargo test metrics writes it anew");
}

#[tokio::test]
async fn whatever_is_shown_is_in_the_table_with_its_kind_and_meaning() {
    let mut bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.send(bridge.request("/v1/hooks/soc").body("{}")).await;
    let shown = bridge.get("/metrics").await.body;
    let shown = shown.as_str().unwrap();
    let known: BTreeMap<_, _> = all().map(|metric| (metric.name, metric)).collect();

    let mut families = 0;
    for line in shown.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let metric = known.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
                assert_eq!(kind, word(metric.kind), "{name}");
                families += 1;
            }
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                let metric = known.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
                assert_eq!(help, metric.help, "{name}");
            }
            (Some(sample), ..) if !sample.is_empty() => {
                let name = sample.split('{').next().unwrap();
                let of_histogram =
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let is_known = |name: &str| known.contains_key(name);
                assert!(is_known(name) || of_histogram.is_some_and(is_known), "{name} is not in the table");
            }
            _ => {}
        }
    }
    assert!(families >= 20, "only {families} are shown:\n{shown}");
}

#[tokio::test]
async fn the_oldest_that_waits_and_the_room_on_the_disk_are_shown() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    let shown = async |bridge: &Bridge, series: &str| {
        let text = bridge.get("/metrics").await.body;
        let line =
            text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse::<f64>().unwrap())
    };
    let oldest = "quarantine_bridge_oldest_waiting_seconds{state=\"queued\"}";
    assert_eq!(shown(&bridge, oldest).await, Some(0.0));
    let least = shown(&bridge, "quarantine_bridge_store_free_bytes_min").await.unwrap();
    assert!((least - 8_388_608.0).abs() < 1.0, "{least}");
    assert!(shown(&bridge, "quarantine_bridge_store_free_bytes").await.unwrap() > least);

    bridge.simulator.with(|state| state.switches.per_minute = 0);
    let waiting = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&waiting).await, "queued");
    bridge.clock.advance(SignedDuration::from_mins(7));

    let age = shown(&bridge, oldest).await.unwrap();
    assert!((420.0..430.0).contains(&age), "{age}");
    assert_eq!(shown(&bridge, &oldest.replace("queued", "accepted")).await, Some(0.0));
}
