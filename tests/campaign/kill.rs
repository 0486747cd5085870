//! kill -9 at random moments, while alerts come in and calls go out.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::Instant;

use crate::audit;
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};

/// In one round, on one database.
const KILLS: usize = 200;
const ALERTS: usize = 2_000;

/// Sent between two kills.
const SENT_AT_ONCE: usize = 14;

/// The longest time between readiness and kill, as long as the start took: a slow machine gets more.
const MOMENT_MS: RangeInclusive<u64> = 150..=3_000;

/// Calls a minute where the limit itself is under fire.
const TIGHT: usize = 30;

/// Rounds that run beside each other, each with its own service: one that starts leaves time to the others.
const ROUNDS_AT_ONCE: usize = 4;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let rounds = (0..plan.size).map(|round| one_round(plan.seed, round));
    let parts: Vec<_> = stream::iter(rounds).buffer_unordered(ROUNDS_AT_ONCE).collect().await;
    let mut row = Row::new("kill -9 at random moments");
    let mut caught = 0;
    for (part, caught_there) in parts {
        row.add(part);
        caught += caught_there;
    }
    row.note(format!("{caught} calls caught between intent and outcome"));
    row.require(caught > 0, "no kill came between an intent and its outcome");
    vec![row, limits(&mut Random::new(plan.seed, "limits")).await]
}

/// All kills on one database, and whether all came to its end; and how many calls were caught between intent and outcome.
async fn one_round(seed: u64, round: usize) -> (Row, usize) {
    let begin = Instant::now();
    let mut row = Row::new("kill -9 at random moments");
    let mut site = Site::new(FAST).await;
    kills(&mut site, &mut Random::new(seed, &format!("kill {round}")), KILLS, ALERTS).await;
    row.trials = KILLS;
    let serving = site.serve().await;
    let under_fire = site.accepted.len();
    site.send_all(0..ALERTS).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.require(records.len() == ALERTS, format!("{} of {ALERTS} actions", records.len()));
    row.require(under_fire > ALERTS / 8, format!("only {under_fire} were accepted between kills"));
    row.require(serving.terminate().await == Some(0), "no clean end");
    println!("kill: round {round} took {} s, failed: {}", begin.elapsed().as_secs(), row.has_failed());
    (row, audit::went_through(&records, "uncertain"))
}

/// Starts, sends, and kills at some moment; every fourth kill may come before the service is ready.
async fn kills(site: &mut Site, random: &mut Random, kills: usize, alerts: usize) {
    for kill in 0..kills {
        let begin = Instant::now();
        let serving = site.installation.serve();
        if kill % 4 != 0 {
            site.installation.wait_until_ready().await;
        }
        let left = (0..alerts).filter(|number| !site.accepted.contains(number));
        let left: Vec<_> = left.take(SENT_AT_ONCE).collect();
        let started = u64::try_from(begin.elapsed().as_millis()).unwrap() * 2;
        let longest = started.clamp(*MOMENT_MS.start(), *MOMENT_MS.end());
        site.send_for(&left, random.millis(longest)).await;
        serving.kill();
    }
}

/// A service that is killed again and again must not forget the calls that it has made: the simulator's own limit would
/// tell.
async fn limits(random: &mut Random) -> Row {
    let mut row = Row::new("kill -9 with 30 calls a minute allowed");
    let config = FAST.replace("calls_per_minute = 1000000", &format!("calls_per_minute = {TIGHT}"));
    let mut site = Site::new(&config).await;
    site.simulator.with(|state| state.switches.per_minute = u32::try_from(TIGHT).unwrap());
    row.trials = 30;
    kills(&mut site, random, row.trials, 2 * TIGHT).await;
    let serving = site.serve().await;
    site.send_all(0..2 * TIGHT).await;
    // Intents whose calls were killed on their way count too, so that the simulator may see fewer.
    wait(Duration::from_secs(4)).await;
    let calls = site.calls();
    row.note(format!("{} calls within the minute, {TIGHT} allowed", calls.len()));
    row.require(calls.len() > TIGHT / 3, "hardly a call was made");
    row.require(calls.iter().all(|(.., status)| *status != 429), "the limit was broken: 429");
    row.accepted = site.accepted.len();
    row.lost = site.accepted.len() - site.records().await.len();
    row.doubled = audit::doubled(&site);
    serving.kill();
    row
}
