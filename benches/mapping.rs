//! What it costs to read one alert of 4 KiB with each built-in format, against strict parsing alone, by turns in one run.
//!
//! `cargo bench --bench mapping`. Prints microseconds and the ratio to parsing; machines
//! differ, the ratio much less. Fails above the ratio that is promised.
//!
//! The alert is the longest payload of the format under tests/data that makes exactly one alert (or, if none does, the
//! longest), filled up to 4 KiB with fields that alerts have; the longest payloads hold the most evidence, so this is the
//! dearest of the choices. The last two columns are the longest payload of any kind, as it stands.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "a benchmark that cannot go on stops, and measures time"
)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use quarantine_bridge::mapping::{BUILT_IN, Cancel, Format, map, on_mapping_thread};
use serde_json::{Value, json};

const BYTES: usize = 4 * 1024;
const RUNS: u32 = 4;
const ROUNDS: usize = 400;

/// What a format may cost at most, in strict parses of the same alert.
const RATIO_MAX: f64 = 8.0;

/// What is aimed at, on a machine of its own.
const AIM: Duration = Duration::from_micros(100);

/// A program that looks at nothing: what remains is strict parsing.
const NOTHING: &str = "{alert_id: \"a\", targets: []}";

fn main() -> ExitCode {
    on_mapping_thread(|| {
        println!("one alert of {BYTES} bytes, the best of {ROUNDS} rounds of {RUNS}");
        println!(
            "{:<24} {:>6} {:>6} {:>7} {:>8} {:>8} {:>6} {:>14} {:>6}",
            "format", "bytes", "alerts", "targets", "map us", "parse us", "ratio", "longest bytes", "us"
        );
        let parse = Format::load("nothing", NOTHING).unwrap();
        let (mut slow, mut above) = (Vec::new(), Vec::new());
        for built_in in BUILT_IN {
            let format = Format::load(built_in.name, built_in.code).unwrap();
            let (payload, longest) = payloads(built_in.name);
            let (mut best, mut plain, mut whole) = (Duration::MAX, Duration::MAX, Duration::MAX);
            for _ in 0..ROUNDS {
                plain = plain.min(once(&parse, &payload));
                best = best.min(once(&format, &payload));
                whole = whole.min(once(&format, &longest));
            }
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            let ratio = micros(best) / micros(plain);
            let mapped = map(&format, &payload, &Cancel::default()).unwrap_or_default();
            let targets: usize = mapped.alerts.iter().map(|alert| alert.targets.len()).sum();
            println!(
                "{:<24} {:>6} {:>6} {targets:>7} {:>8.1} {:>8.1} {ratio:>6.1} {:>14} {:>6.1}",
                built_in.name,
                payload.len(),
                mapped.alerts.len(),
                micros(best),
                micros(plain),
                longest.len(),
                micros(whole)
            );
            slow.extend((ratio > RATIO_MAX).then_some(built_in.name));
            above.extend((best > AIM).then_some(built_in.name));
        }
        let below = BUILT_IN.len() - above.len();
        println!("below {} us here: {below} of {}; above: {above:?}", AIM.as_micros(), BUILT_IN.len());
        println!("above {RATIO_MAX} parses, which fails: {slow:?}");
        if slow.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
    .unwrap()
}

/// The time of one run, as a mean over many.
fn once(format: &Format, payload: &[u8]) -> Duration {
    let cancel = Cancel::default();
    let start = Instant::now();
    for _ in 0..RUNS {
        drop(map(format, payload, &cancel));
    }
    start.elapsed().checked_div(RUNS).unwrap()
}

/// The alert of a format that is measured, and the longest payload that it has.
fn payloads(format: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format);
    let mut all: Vec<(bool, Value)> = Vec::new();
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let Ok(text) = fs::read(case.join("payload.json")) else {
            continue;
        };
        let expected: Value = serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
        let makes_one = expected["alerts"].as_array().is_some_and(|alerts| alerts.len() == 1);
        all.push((makes_one, serde_json::from_slice(&text).unwrap()));
    }
    all.sort_by_cached_key(|(_, payload)| payload.to_string().len());
    let longest = all.last().unwrap().1.to_string().into_bytes();
    let alert = all.iter().rev().find(|(makes_one, _)| *makes_one).or(all.last());
    let mut alert = alert.unwrap().1.clone();
    for n in 0.. {
        if alert.to_string().len() >= BYTES {
            break;
        }
        // In a list of alerts, the first has them.
        let fields = if alert.is_array() { &mut alert[0] } else { &mut alert };
        fields[format!("additionalField{n}")] = json!(format!("a value as alerts have them {n}"));
    }
    (alert.to_string().into_bytes(), longest)
}
