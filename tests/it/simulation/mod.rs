//! A deterministic simulation of the core: the real dispatcher, store, policy, reconciliation and budget on one thread,
//! with time, network, disk and crashes in the hands of a scheduler that goes by a seed.

mod asker;
mod bridge;
mod disturb;
mod faults;
mod ledger;
mod network;
mod run;
mod scenario;
mod trace;

use std::env;

use run::{Run, Shown};
use trace::Sometimes;

/// How many seeds are run, unless `SIMULATION_SEEDS` says another number.
const SEEDS: u64 = 300;

/// Whether what is uncertain is settled by a steady clock. Until then the clock is not set.
const CLOCK_IS_STEADY: bool = false;

/// Whether the budget keeps to a steady clock and counts calls that leave late (I7). Until then it is not held to its limits.
const BUDGET_IS_STEADY: bool = false;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

fn run(seed: u64) -> Shown {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(Run::to_end(seed))
}

#[test]
fn a_seed_always_runs_the_same() {
    let seed = number("SIMULATION_SEED").unwrap_or(7);
    assert_eq!(run(seed), run(seed));
}

#[test]
fn what_must_hold_holds_whatever_happens() {
    let mut all = Sometimes::default();
    let (first, count) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let mut steps = 0;
    for seed in first..first + count {
        let shown = run(seed);
        steps += shown.steps;
        all.add(&shown.sometimes);
    }
    eprintln!("{count} seeds, {steps} steps");
    for (what, times) in &all.0 {
        eprintln!("{times:>9}  {what}");
    }
}
