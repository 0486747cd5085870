//! Answers that are lost after Defender has acted, with a list that lags.
//!
//! One answer in four is lost: where most are, the breaker leaves Defender alone.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;

use crate::audit;
use crate::proxy::Fault;
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};

/// Of so many answers, one is lost.
const ONE_IN: usize = 4;

/// Answers that are lost on one database, where the list tells at once and where it lags.
const PROMPT: usize = 300;
const LATE: usize = 100;

/// Both sides of it can be seen within seconds.
const SETTLE: &str = "settle = \"12s\"";

/// Within the settle time, with room for a loaded machine between intent and call.
const LAG_MS: u32 = 8_000;

/// Rounds that run beside each other, each with its own service.
const ROUNDS_AT_ONCE: usize = 3;

/// Answers for which the bridge waits its 30 s each.
const STALLS: usize = 8;

/// Answers that are lost where the list lags for longer than the settle time.
const BEYOND: usize = 40;

/// How often at the most the long form does that.
const BEYOND_ROUNDS_MAX: usize = 10;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let (prompt, late, stalled, beyond, still_open) = tokio::join!(
        rounds("answer lost after execution", plan, (PROMPT, 0)),
        rounds("the same, list lag within the settle time", plan, (LATE, LAG_MS)),
        stalled(),
        beyond(plan),
        still_open()
    );
    vec![prompt, late, stalled, beyond, still_open]
}

async fn rounds(name: &str, plan: Plan, (count, lag_ms): (usize, u32)) -> Row {
    let rounds = (0..plan.size).map(|round| async move {
        let mut random = Random::new(plan.seed, &format!("{name} {round}"));
        let row = lose(name, count, lag_ms, &mut random).await;
        println!("lost: {name}, round {round}, failed: {}", row.has_failed());
        row
    });
    let parts: Vec<_> = stream::iter(rounds).buffer_unordered(ROUNDS_AT_ONCE).collect().await;
    let mut sum = Row::new(name);
    for part in parts {
        sum.add(part);
    }
    sum
}

/// Loses so many answers, each in another way.
async fn lose(name: &str, count: usize, lag_ms: u32, random: &mut Random) -> Row {
    let mut row = Row::new(name);
    let mut site = Site::new(&FAST.replace("settle = \"1s\"", SETTLE)).await;
    site.simulator.with(|state| state.switches.list_lag_ms = lag_ms);
    lose_one_in_four(&site, count, |nth| way(nth, random));
    let serving = site.serve().await;
    site.send_all(0..ONE_IN * count).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.trials = audit::went_through(&records, "uncertain");
    row.require(row.trials == count, format!("{} of {count} answers were lost", row.trials));
    let calls = site.calls().len();
    row.require(calls == ONE_IN * count, format!("{calls} calls for {} alerts", ONE_IN * count));
    let sent_again = site.metric(RECONCILED, "not_found").await;
    row.require(sent_again == 0, format!("{sent_again} were to be sent again, says the metric"));
    serving.kill();
    row
}

/// How the bridge counts what the list told of lost answers.
const RECONCILED: &str = "quarantine_bridge_reconciled_total";

/// The answer to the first call of each such alert is lost.
fn lose_one_in_four(site: &Site, count: usize, mut fault: impl FnMut(usize) -> Fault) {
    for nth in 0..count {
        site.proxy.play_at(format!("{:040x}", ONE_IN * nth), fault(nth));
    }
}

/// A way to lose an answer.
fn way(nth: usize, random: &mut Random) -> Fault {
    let answer = |head: &str, body: &str| {
        let length = body.len();
        Fault::Said(format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"))
    };
    match nth % 8 {
        0 => answer(random.pick::<&str>(&["500 a", "502 b", "503 c", "504 d"]), "<html>"),
        1 => answer("201 Created\r\ncontent-type: application/json", "nonsense"),
        2 => answer("201 Created\r\ncontent-type: application/json", "{\"id\": \""),
        3 => Fault::Said("\x15\x03\x01 is no HTTP".to_owned()),
        4 => Fault::AnswerCut { permille: 0 },
        // In the middle of the status line.
        5 => Fault::AnswerCut { permille: 7 },
        6 => Fault::AnswerCut { permille: usize::try_from(100 + random.below(899)).unwrap() },
        _ => Fault::AnswerReset,
    }
}

/// Answers that never come: the bridge gives up after 30 s.
async fn stalled() -> Row {
    let mut row = Row::new("answer never comes");
    let mut site = Site::new(FAST).await;
    lose_one_in_four(&site, STALLS, |_| Fault::Stall);
    let serving = site.serve().await;
    site.send_all(0..ONE_IN * STALLS).await;
    let mut patience = 80;
    while site.proxy.struck() < STALLS && patience > 0 {
        wait(Duration::from_secs(1)).await;
        patience -= 1;
    }
    let records = site.audit(&mut row).await;
    row.trials = audit::went_through(&records, "uncertain");
    row.require(row.trials == STALLS, format!("{} of {STALLS} answers did not come", row.trials));
    audit::require_success(&records, &mut row);
    serving.kill();
    row
}

/// Defender lists an action later than the settle time allows: the one case in which a second call is documented. The
/// bridge must show each, in the action's history and in its metric, and there must be no more of them than that.
async fn beyond(plan: Plan) -> Row {
    let mut row = Row::new("the same, list lag beyond the settle time");
    let count = BEYOND * plan.size.min(BEYOND_ROUNDS_MAX);
    let mut site = Site::new(FAST).await;
    site.simulator.with(|state| state.switches.list_lag_ms = 20_000);
    lose_one_in_four(&site, count, |_| Fault::AnswerCut { permille: 0 });
    let serving = site.serve().await;
    site.send_all(0..ONE_IN * count).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.trials = count;
    row.documented = records.values().filter(|record| second_call_is_explained(record)).count();
    let counted = site.metric(RECONCILED, "not_found").await;
    row.require(row.doubled == count, format!("{} second machine actions, expected {count}", row.doubled));
    row.require(
        counted == row.doubled,
        format!("the metric counts {counted} of {} second calls", row.doubled),
    );
    row.note(format!(
        "the documented window: {} told in their actions' histories, {counted} counted in the metric",
        row.documented
    ));
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
    lose_one_in_four(&site, BEYOND, |_| Fault::AnswerCut { permille: 0 });
    let serving = site.serve().await;
    site.send_all(0..ONE_IN * BEYOND).await;
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
    let says = |change: &&Value| {
        change["from"] == "uncertain"
            && change["why"].as_str().is_some_and(|why| why.contains("may be sent again"))
    };
    attempts == 2 && record["history"].as_array().unwrap().iter().filter(says).count() == 1
}
