//! A black-box campaign: the real binary under faults, and what it promised checked from outside.
//!
//! `cargo test --test campaign` runs the short form. `-- --size 25` makes it 25 times as long, `--only NAME,NAME` runs
//! some families, `--seed N` repeats a run. `QUARANTINE_BRIDGE_BINARY` names another binary than the one built beside it,
//! by its whole path. It ends with a table, and fails if a figure is wrong or a family did not strike.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::integer_division,
    reason = "a panic is a failed campaign"
)]

mod audit;
mod backup;
mod clocks;
mod corrupt;
mod disk;
mod harness;
mod instances;
mod kill;
mod lost;
mod migration;
mod output;
mod points;
mod proxy;
mod random;
mod report;
mod signals;
mod site;
mod tools;
mod upstream;

use std::env;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

use report::{HEAD, Plan, Row};

type Running = Pin<Box<dyn Future<Output = Vec<Row>>>>;

/// A family of faults.
struct Family {
    name: &'static str,
    run: fn(Plan) -> Running,
}

const FAMILIES: &[Family] = &[
    Family { name: "kill", run: |plan| Box::pin(kill::run(plan)) },
    Family { name: "points", run: |plan| Box::pin(points::run(plan)) },
    Family { name: "lost", run: |plan| Box::pin(lost::run(plan)) },
    Family { name: "upstream", run: |plan| Box::pin(upstream::run(plan)) },
    Family { name: "clocks", run: |plan| Box::pin(clocks::run(plan)) },
    Family { name: "corrupt", run: |plan| Box::pin(corrupt::run(plan)) },
    Family { name: "signals", run: |plan| Box::pin(signals::run(plan)) },
    Family { name: "disk", run: |plan| Box::pin(disk::run(plan)) },
    Family { name: "migration", run: |plan| Box::pin(migration::run(plan)) },
    Family { name: "backup", run: |plan| Box::pin(backup::run(plan)) },
    Family { name: "output", run: |plan| Box::pin(output::run(plan)) },
    Family { name: "instances", run: |plan| Box::pin(instances::run(plan)) },
];

/// Most of them wait most of the time.
const AT_ONCE: usize = 3;

/// Longer than any family takes, by the size: one that hangs has failed.
const PATIENCE: Duration = Duration::from_mins(20);

fn main() -> ExitCode {
    let mut plan = Plan { size: 1, seed: new_seed() };
    let mut only = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match argument.as_str() {
            "--size" => plan.size = value().parse().expect("--size takes a number"),
            "--seed" => plan.seed = value().parse().expect("--seed takes a number"),
            "--only" => only = Some(value()),
            // What cargo hands to every test.
            "--nocapture" | "--show-output" | "--quiet" => {}
            other => panic!("{other} is not known: there are --size, --seed and --only"),
        }
    }
    let families: Vec<&Family> = match &only {
        None => FAMILIES.iter().collect(),
        Some(names) => names.split(',').map(named).collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    LocalSet::new().block_on(&runtime.unwrap(), campaign(&families, plan))
}

fn named(name: &str) -> &'static Family {
    let found = FAMILIES.iter().find(|family| family.name == name);
    found.unwrap_or_else(|| panic!("there is no family {name}"))
}

fn new_seed() -> u64 {
    u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff).unwrap()
}

async fn campaign(families: &[&Family], plan: Plan) -> ExitCode {
    println!("seed {}, size {}", plan.seed, plan.size);
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    let running = families.iter().map(|family| async move {
        let begin = Instant::now();
        (family.name, run(family, plan).await, begin.elapsed())
    });
    let mut running = stream::iter(running).buffer_unordered(AT_ONCE);
    while let Some((name, rows, took)) = running.next().await {
        println!("{name}: {} s", took.as_secs());
        for row in rows {
            println!("{}", row.line());
            if row.has_failed() {
                failed.push(name);
                row.breaches.iter().for_each(|breach| println!("    {breach}"));
                let Plan { seed, size } = plan;
                println!(
                    "    again: cargo test --test campaign -- --only {name} --seed {seed} --size {size}"
                );
            }
            lines.push(row.line());
        }
    }
    println!("\n{HEAD}\n{}\n", lines.join("\n"));
    if failed.is_empty() {
        println!("campaign passed");
        return ExitCode::SUCCESS;
    }
    println!("campaign failed: {failed:?}");
    ExitCode::FAILURE
}

/// Runs a family; a panic in it is a row that failed.
async fn run(family: &Family, plan: Plan) -> Vec<Row> {
    let mut running = JoinSet::new();
    running.spawn_local((family.run)(plan));
    let failed = |why: String| {
        let mut row = Row::new(family.name);
        row.require(false, why);
        vec![row]
    };
    let patience = PATIENCE.saturating_mul(u32::try_from(plan.size).unwrap_or(u32::MAX));
    match timeout(patience, running.join_next()).await {
        Ok(Some(Ok(rows))) => rows,
        Ok(Some(Err(error))) => failed(error.to_string()),
        Ok(None) | Err(_) => failed("it hangs".to_owned()),
    }
}
