//! Durable accepts against the same server with a store that keeps nothing, by turns in one run.
//!
//! `cargo bench --bench accept`. Prints the ratio of the two throughputs; machines differ, the ratio much less. Fails
//! below the ratio that is promised, or above the time that 99 of 100 answers may take.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark that cannot go on stops"
)]

mod inside;
mod load;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use inside::Posted;
use quarantine_bridge::store::{Options, Store};

const CONNECTIONS: usize = 128;
const DELIVERIES: usize = 20_000;
const ROUNDS: usize = 7;
const PROMISED: f64 = 0.35;
const PROMISED_P99: Duration = Duration::from_millis(25);

fn main() -> ExitCode {
    println!("{DELIVERIES} deliveries of {} bytes over {CONNECTIONS} connections", load::BODY_BYTES);
    println!(
        "{:>5} {:>12} {:>12} {:>6} {:>12}",
        "round", "durable /s", "forgetful /s", "ratio", "durable p99"
    );
    let (mut ratios, mut p99s) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (durable, forgetful) = (durable(), posted(Store::forgetful().unwrap()));
        let (kept, forgot, p99) = (durable.per_second(), forgetful.per_second(), durable.p99());
        println!("{round:>5} {kept:>12.0} {forgot:>12.0} {:>6.2} {p99:>12.1?}", kept / forgot);
        ratios.push(kept / forgot);
        p99s.push(p99);
    }
    ratios.sort_by(f64::total_cmp);
    p99s.sort_unstable();
    let (ratio, p99) = (ratios[ROUNDS / 2], p99s[ROUNDS / 2]);
    println!("medians: ratio {ratio:.2}, promised {PROMISED}; p99 {p99:.1?}, promised {PROMISED_P99:?}");
    if ratio >= PROMISED && p99 < PROMISED_P99 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// On the disk of the build folder: a folder in memory would make every fsync free.
fn durable() -> Posted {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let path = folder.path().join("bench.db");
    let posted = posted(Store::open(&Options { path: path.clone() }).unwrap());
    let db = rusqlite::Connection::open(path).unwrap();
    let kept: u32 = db.query_row("SELECT count(*) FROM actions", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(kept).unwrap(), DELIVERIES, "everything that was answered 202 is on disk");
    posted
}

fn posted(store: Store) -> Posted {
    inside::post_all(store, CONNECTIONS, load::requests(DELIVERIES))
}
