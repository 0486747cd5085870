//! A deterministic simulation of the core: the real dispatcher, store, policy, reconciliation and budget on one thread,
//! with time, network, disk and crashes in the hands of a scheduler that goes by a seed.

mod asker;
mod bridge;
mod disturb;
mod expected;
mod faults;
mod ledger;
mod network;
mod run;
mod scenario;
mod trace;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use expected::{EXPECTED, RARE};
use run::{Run, Shown};
use trace::Sometimes;

/// How many seeds are run, unless `SIMULATION_SEEDS` says another number.
const SEEDS: u64 = 150;

/// From how many seeds on what is rare must have happened too.
const MANY_SEEDS: u64 = 5_000;

#[expect(clippy::disallowed_methods, reason = "a test may be told what to run")]
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

fn run(seed: u64) -> Shown {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(Run::to_end(seed))
}

/// The seeds that are still to be run. When one fails, the others are not.
struct Seeds {
    next: AtomicU64,
    end: u64,
}

/// One thread's turn; it ends all if it ends by a panic.
struct Turn<'a>(&'a Seeds);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.next.store(self.0.end, Ordering::SeqCst);
        }
    }
}

impl Seeds {
    /// Runs seeds until there are none; returns what was seen and how many steps it took.
    fn work(&self) -> (Sometimes, u64) {
        let _turn = Turn(self);
        let (mut all, mut steps) = (Sometimes::default(), 0);
        loop {
            let seed = self.next.fetch_add(1, Ordering::SeqCst);
            if seed >= self.end {
                return (all, steps);
            }
            let shown = run(seed);
            all.add(&shown.sometimes);
            steps += shown.steps;
        }
    }
}

/// Runs seeds on all processors, each seed on one thread.
fn run_all(first: u64, count: u64) -> (Sometimes, u64) {
    let seeds = Seeds { next: AtomicU64::new(first), end: first + count };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(|| seeds.work())).collect();
        let (mut seen, mut steps) = (Sometimes::default(), 0);
        for thread in threads {
            let (more, taken) = thread.join().expect("a seed failed; it is told above");
            seen.add(&more);
            steps += taken;
        }
        (seen, steps)
    })
}

#[test]
fn a_seed_always_runs_the_same() {
    for seed in [7, 8, 9] {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn what_must_hold_holds_whatever_happens() {
    let (first, count) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let (seen, steps) = run_all(first, count);
    if number("SIMULATION_SEEDS").is_some() {
        eprintln!("{count} seeds, {steps} steps, 0 violations");
        seen.0.iter().for_each(|(what, times)| eprintln!("{times:>9}  {what}"));
    }
    if count < SEEDS {
        return;
    }
    let rare: &[&str] = if count >= MANY_SEEDS { RARE } else { &[] };
    let never: Vec<_> = EXPECTED.iter().chain(rare).filter(|what| !seen.0.contains_key(**what)).collect();
    assert!(never.is_empty(), "never happened: {never:?}");
    for what in seen.0.keys().filter(|what| !EXPECTED.iter().chain(RARE).any(|known| known == what)) {
        eprintln!("not in the list of what happens: {what}");
    }
}
