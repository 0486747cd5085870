//! Answers that are lost after Defender has acted, with a list that lags.

use std::collections::BTreeMap;
use std::time::Duration;

use quarantine_bridge::simulator::{Fault as Played, FaultKind, Place as At};
use serde_json::Value;

use crate::audit;
use crate::proxy::{Fault, Place};
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};

/// On one database.
const ROUND: usize = 500;

/// Long enough for both sides of it to be seen within seconds.
const SETTLE: &str = "settle = \"12s\"";

/// Alerts for what costs the bridge a time limit of 30 s each.
const STALLS: usize = 8;

/// Alerts where the list lags for longer than the settle time.
const BEYOND: usize = 40;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let (prompt, late, stalled, beyond, still_open) =
        tokio::join!(prompt(plan), late(plan), stalled(), beyond(), still_open());
    vec![prompt, late, stalled, beyond, still_open]
}

async fn prompt(plan: Plan) -> Row {
    let mut row = Row::new("answer lost after execution");
    for _ in 0..plan.size {
        lose(&mut row, ROUND, 0, &mut Random::new(plan.seed, "prompt")).await;
    }
    row
}

async fn late(plan: Plan) -> Row {
    let mut row = Row::new("the same, list lag within the settle time");
    for _ in 0..plan.size.div_ceil(5) {
        lose(&mut row, ROUND / 5, 9_000, &mut Random::new(plan.seed, "late")).await;
    }
    row
}

/// Loses the answer of every first call, each in another way.
async fn lose(row: &mut Row, count: usize, lag_ms: u32, random: &mut Random) {
    let mut site = Site::new(&FAST.replace("settle = \"1s\"", SETTLE)).await;
    site.simulator.with(|state| state.switches.list_lag_ms = lag_ms);
    for number in 0..count {
        let (byte_by_byte, as_a_whole) = ways(number, random);
        site.proxy.play(Place::Quarantine, byte_by_byte);
        site.simulator.play(Played { place: At::Quarantine, kind: as_a_whole, times: Some(1) });
    }
    let serving = site.serve().await;
    site.send_all(0..count).await;
    let records = site.audit(row).await;
    audit::require_success(&records, row);
    let lost = audit::went_through(&records, "uncertain");
    row.trials += lost;
    row.require(lost == count, format!("only {lost} of {count} answers were lost"));
    let calls = site.calls().len();
    row.require(calls == count, format!("{calls} calls for {count} alerts"));
    serving.kill();
}

/// A way to lose an answer: by the proxy, or by what the simulator says.
fn ways(number: usize, random: &mut Random) -> (Fault, FaultKind) {
    let nothing = FaultKind::Delay { ms: 0 };
    match number % 8 {
        0 => (Fault::Pass, FaultKind::ActedThenStatus { status: *random.pick(&[500, 502, 503, 504]) }),
        1 => (Fault::Pass, FaultKind::Garbage),
        2 => (Fault::Pass, FaultKind::AnswerLost),
        3 => (Fault::Pass, FaultKind::Truncated),
        4 => (Fault::AnswerCut { permille: 0 }, nothing),
        // In the middle of the status line.
        5 => (Fault::AnswerCut { permille: 7 }, nothing),
        6 => (Fault::AnswerCut { permille: usize::try_from(100 + random.below(899)).unwrap() }, nothing),
        _ => (Fault::AnswerReset, nothing),
    }
}

/// Answers that never come: the bridge gives up after 30 s.
async fn stalled() -> Row {
    let mut row = Row::new("answer never comes");
    let mut site = Site::new(FAST).await;
    for _ in 0..STALLS {
        site.proxy.play(Place::Quarantine, Fault::Stall);
    }
    let serving = site.serve().await;
    site.send_all(0..STALLS).await;
    let mut patience = 80;
    while site.proxy.struck() < STALLS && patience > 0 {
        wait(Duration::from_secs(1)).await;
        patience -= 1;
    }
    let records = site.audit(&mut row).await;
    row.trials = audit::went_through(&records, "uncertain");
    audit::require_success(&records, &mut row);
    serving.kill();
    row
}

/// Defender lists an action later than the settle time allows: the one case in which a second call is documented. Each must
/// be told, and there must be no more of them than that.
async fn beyond() -> Row {
    let mut row = Row::new("the same, list lag beyond the settle time");
    let mut site = Site::new(FAST).await;
    site.simulator.with(|state| state.switches.list_lag_ms = 60_000);
    for _ in 0..BEYOND {
        site.proxy.play(Place::Quarantine, Fault::AnswerCut { permille: 0 });
    }
    let serving = site.serve().await;
    site.send_all(0..BEYOND).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.trials = BEYOND;
    let told = records.values().filter(|record| second_call_is_explained(record)).count();
    let extra = audit::doubled(&site);
    row.require(extra == BEYOND, format!("{extra} second machine actions where {BEYOND} are documented"));
    row.require(told == BEYOND, format!("only {told} of {BEYOND} second calls are explained"));
    row.note(format!("{extra} second machine actions, as documented: each after two empty reads and the settle time, each told in its history"));
    row.doubled -= extra;
    serving.kill();
    row
}

/// The same while the first machine action is still open: Defender refuses the second call, and the list tells.
async fn still_open() -> Row {
    let mut row = Row::new("the same, the first machine action still open");
    let mut site = Site::new(FAST).await;
    site.simulator.with(|state| {
        state.switches.list_lag_ms = 10_000;
        state.switches.done_after_ms = 14_000;
    });
    for _ in 0..BEYOND {
        site.proxy.play(Place::Quarantine, Fault::AnswerCut { permille: 0 });
    }
    let serving = site.serve().await;
    site.send_all(0..BEYOND).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.trials = BEYOND;
    let calls = site.calls();
    let refused = calls.iter().filter(|(.., status)| *status == 400).count();
    row.require(refused > 0, "no second call was refused");
    row.note(format!("{refused} second calls refused by Defender, all adopted"));
    serving.kill();
    row
}

/// A second call has its reason in the history, before its intent.
fn second_call_is_explained(record: &Value) -> bool {
    let attempts = record["attempts"].as_array().map_or(0, Vec::len);
    let history: BTreeMap<usize, &Value> = record["history"].as_array().unwrap().iter().enumerate().collect();
    let says = |change: &&&Value| {
        change["from"] == "uncertain"
            && change["why"].as_str().is_some_and(|why| why.contains("may be sent again"))
    };
    attempts == 2 && history.values().filter(says).count() == 1
}
