//! Durable accepts against the same server with a store that keeps nothing, by turns in one run.
//!
//! `cargo bench --bench accept`. Prints the ratio of the two throughputs; machines differ, the ratio much less. Fails
//! below the ratio that is promised.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on stops"
)]

mod load;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use actix_web::rt::System;
use quarantine_bridge::budget::Snapshot;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::http::{self, Bound, Parts, Quota, Rate, Source};
use quarantine_bridge::ingest::Gate;
use quarantine_bridge::mapping::{BuiltIn, Format, Mapper};
use quarantine_bridge::oidc;
use quarantine_bridge::store::{Options, Store};
use quarantine_bridge::telemetry::Metrics;
use tokio::runtime;
use tokio::sync::watch;

const CONNECTIONS: usize = 128;
const DELIVERIES: usize = 20_000;
const ROUNDS: usize = 7;
const PROMISED: f64 = 0.35;

fn main() -> ExitCode {
    println!("{DELIVERIES} deliveries of {} bytes over {CONNECTIONS} connections", load::BODY_BYTES);
    println!("{:>5} {:>12} {:>12} {:>6}", "round", "durable /s", "forgetful /s", "ratio");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (durable, forgetful) = (durable(), accepts_per_second(Store::forgetful().unwrap()));
        println!("{round:>5} {durable:>12.0} {forgetful:>12.0} {:>6.2}", durable / forgetful);
        ratios.push(durable / forgetful);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    println!("median ratio {median:.2}, promised {PROMISED}");
    if median >= PROMISED { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// On the disk of the build folder: a folder in memory would make every fsync free.
fn durable() -> f64 {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let path = folder.path().join("bench.db");
    let throughput = accepts_per_second(Store::open(&Options { path: path.clone() }).unwrap());
    let db = rusqlite::Connection::open(path).unwrap();
    let kept: u32 = db.query_row("SELECT count(*) FROM actions", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(kept).unwrap(), DELIVERIES, "everything that was answered 202 is on disk");
    throughput
}

/// Deliveries that a server with this store accepts in a second. Nothing is dispatched meanwhile.
fn accepts_per_second(store: Store) -> f64 {
    let requests = load::requests(DELIVERIES);
    let (_ready, is_ready) = watch::channel(true);
    let format = BuiltIn::named("bridge").unwrap();
    let source = Source {
        name: "soc".parse().unwrap(),
        gate: Gate::standard_webhooks(vec![load::key()]).unwrap(),
        format: Arc::new(Format::load(format.name, format.code).unwrap()),
        quota: Quota { rate: Rate::per_minute(1_000_000, 1_000_000), ..Quota::default() },
    };
    let options = http::Options::new("127.0.0.1:0".parse().unwrap(), vec![source]);
    let (clock, metrics) = (Clock::system(), Metrics::new());
    let (keys, _) = oidc::keys([], &clock, &metrics).unwrap();
    let (_, budget) = watch::channel(Arc::new(Snapshot::empty(clock.steady())));
    let mapper = Mapper::start(2).unwrap();
    let parts = Parts { store, mapper, clock, metrics, keys, ready: is_ready, budget };
    let Bound { address, server, .. } = http::bind(options, parts).unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || System::new().block_on(server).unwrap());
    let client = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let took = client.block_on(load::post_all(address, CONNECTIONS, requests));
    client.block_on(handle.stop(true));
    serving.join().unwrap();
    DELIVERIES as f64 / took.as_secs_f64()
}
