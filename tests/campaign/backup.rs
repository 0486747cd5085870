//! A backup made under load; then the service is killed, its database lost, and the backup put in its place.

use std::fs;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;

use crate::audit;
use crate::harness::binary::command;
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site};

/// In the short form.
const ROUNDS: usize = 8;
const ROUNDS_AT_ONCE: usize = 2;

/// Alerts that are sent before the backup begins, and in all.
const BEFORE: usize = 40;
const ALERTS: usize = 120;

/// How many are sent at once.
const BATCH: usize = 10;

/// Less than the settle time.
const LAG_MS: u32 = 300;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let rounds =
        (0..ROUNDS * plan.size).map(|round| restore(Random::new(plan.seed, &format!("backup {round}"))));
    let parts: Vec<_> = stream::iter(rounds).buffer_unordered(ROUNDS_AT_ONCE).collect().await;
    let mut row = Row::new("backup under load, kill -9, restored");
    let mut newer = 0;
    for (part, newer_there) in parts {
        row.add(part);
        newer += newer_there;
    }
    row.note(format!("{newer} machine actions that the backup did not know, all found in Defender's list"));
    row.require(newer > 0, "no call was made between a backup and the kill");
    vec![row]
}

/// One restore; and how many machine actions the backup did not know.
async fn restore(mut random: Random) -> (Row, usize) {
    let mut row = Row::new("backup");
    let mut site = Site::new(FAST).await;
    site.simulator.with(|state| state.switches.list_lag_ms = LAG_MS);
    let serving = site.serve().await;
    site.send_all(0..BEFORE).await;
    // What is acknowledged now must be in the backup; what comes while it is made may be.
    let held = site.accepted.clone();
    let mut backup = site.installation.start(command(&["backup", "copy.db"]), "backup.log");
    let mut next = BEFORE;
    while backup.has_ended().is_none() || next < BEFORE + BATCH {
        let end = (next + BATCH).min(ALERTS);
        site.send_for(&(next..end).collect::<Vec<_>>(), random.millis(60)).await;
        next = end;
    }
    let copied = backup.has_ended().is_some_and(|status| status.success());
    row.require(copied, "the backup was not made");
    site.send_for(&(next..ALERTS).collect::<Vec<_>>(), random.millis(300)).await;
    serving.kill();
    let made = site.simulator.machine_actions().len();
    put_in_place(&site);
    site.accepted.clone_from(&held);
    let serving = site.serve().await;
    let records = site.records().await;
    row.lost = held.iter().filter(|number| !records.contains_key(&format!("alert-{number}"))).count();
    // Senders send again what was lost with the old database, and new alerts too.
    site.send_all(0..ALERTS).await;
    let records = site.settled(Duration::from_mins(2)).await;
    row.trials = 1;
    row.accepted = site.accepted.len();
    row.unsettled = records.values().filter(|record| record["final"] != true).count();
    row.doubled = audit::doubled(&site);
    audit::require_success(&records, &mut row);
    row.require(records.len() == ALERTS, format!("{} of {ALERTS} actions", records.len()));
    site.verify_record(&mut row);
    let found = records.values().filter(|record| was_found(record)).count();
    let calls =
        records.values().map(|record| record["attempts"].as_array().map_or(0, Vec::len)).sum::<usize>();
    row.require(found + calls >= ALERTS, format!("{found} found and {calls} called of {ALERTS}"));
    row.require(found <= made, format!("{found} found, and {made} were made before"));
    row.require(serving.terminate().await == Some(0), "no clean end");
    (row, found)
}

/// It has a machine action without a call in this database.
fn was_found(record: &Value) -> bool {
    record["attempts"].as_array().is_none_or(Vec::is_empty) && record["machine_action"]["id"].is_string()
}

/// The database is lost with all that belongs to it; the backup takes its name, as the README says.
fn put_in_place(site: &Site) {
    let path = site.installation.path("bridge.db");
    for ending in ["", "-wal", "-shm"] {
        drop(fs::remove_file(path.with_file_name(format!("bridge.db{ending}"))));
    }
    fs::rename(site.installation.path("copy.db"), path).unwrap();
}
