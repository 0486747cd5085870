//! What it costs to read one alert of 4 KiB with each built-in format, against strict parsing alone, by turns in one run.
//!
//! `cargo bench --bench mapping`. Prints microseconds and the ratio to parsing; machines
//! differ, the ratio much less. Fails above the ratio that is promised.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
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
const RATIO_MAX: f64 = 30.0;

/// What is aimed at, on a machine of its own.
const AIM: Duration = Duration::from_micros(100);

/// A program that looks at nothing: what remains is strict parsing.
const NOTHING: &str = "{alert_id: \"a\", targets: []}";

fn main() -> ExitCode {
    on_mapping_thread(|| {
        println!("one alert of {BYTES} bytes, the best of {ROUNDS} rounds of {RUNS}");
        println!("{:<24} {:>9} {:>9} {:>6}", "format", "map us", "parse us", "ratio");
        let parse = Format::load("nothing", NOTHING).unwrap();
        let (mut slow, mut above) = (Vec::new(), Vec::new());
        for built_in in BUILT_IN {
            let format = Format::load(built_in.name, built_in.code).unwrap();
            let payload = payload(built_in.name);
            let (mut best, mut plain) = (Duration::MAX, Duration::MAX);
            for _ in 0..ROUNDS {
                plain = plain.min(once(&parse, &payload));
                best = best.min(once(&format, &payload));
            }
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            let ratio = micros(best) / micros(plain);
            println!("{:<24} {:>9.1} {:>9.1} {ratio:>6.1}", built_in.name, micros(best), micros(plain));
            slow.extend((ratio > RATIO_MAX).then_some(built_in.name));
            above.extend((best > AIM).then_some(built_in.name));
        }
        println!("above {} us here: {} of {}", AIM.as_micros(), above.len(), BUILT_IN.len());
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

/// The longest payload of a format under tests/data that makes a target, filled up with fields that alerts have.
fn payload(format: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format);
    let mut longest = json!({});
    let mut alone = json!({});
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let Ok(text) = fs::read(case.join("payload.json")) else {
            continue;
        };
        let expected: Value = serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&text).unwrap();
        let is_longer =
            |than: &Value| payload.is_object() && payload.to_string().len() > than.to_string().len();
        if expected["alerts"].as_array().is_some_and(|alerts| alerts.len() == 1) && is_longer(&longest) {
            longest = payload;
        } else if is_longer(&alone) {
            alone = payload;
        }
    }
    if longest == json!({}) {
        longest = alone;
    }
    for n in 0.. {
        if longest.to_string().len() >= BYTES {
            break;
        }
        longest[format!("additionalField{n}")] = json!(format!("a value as alerts have them {n}"));
    }
    longest.to_string().into_bytes()
}
