//! The promises, checked from outside: by the API, by the simulator's log, and by what is on disk.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::report::Row;
use crate::site::Site;

/// Writes into the row what was lost, doubled or left open, and whatever else breaks a promise.
pub(crate) fn check(site: &Site, records: &BTreeMap<String, Value>, row: &mut Row) {
    let name = |number: &usize| format!("alert-{number}");
    let known: Vec<_> = site.accepted.iter().filter_map(|number| records.get(&name(number))).collect();
    row.accepted += site.accepted.len();
    row.lost += site.accepted.len() - known.len();
    row.unsettled += known.iter().filter(|record| record["final"] != true).count();
    row.doubled += doubled(site);
    row.require(site.wrong.is_empty(), format!("answers that are never right: {:?}", site.wrong));
    check_intents(site, records, row);
    check_ends(site, records, row);
}

/// Counts the machine actions beyond the first for the same device, file and alert.
pub(crate) fn doubled(site: &Site) -> usize {
    let mut made: HashMap<_, usize> = HashMap::new();
    for action in site.simulator.machine_actions() {
        *made.entry((action.machine_id, action.sha1, action.comment)).or_default() += 1;
    }
    made.values().map(|count| count - 1).sum()
}

/// No call without an intent: looked up when each came, and counted at the end.
fn check_intents(site: &Site, records: &BTreeMap<String, Value>, row: &mut Row) {
    let (_, without) = site.proxy.intents();
    row.require(without.is_empty(), format!("calls without an intent on disk: {without:?}"));
    let mut calls: HashMap<String, usize> = HashMap::new();
    for (machine, ..) in site.calls() {
        *calls.entry(machine).or_default() += 1;
    }
    let mut attempts: HashMap<&str, usize> = HashMap::new();
    for record in records.values() {
        let machine = record["target"]["machine_id"].as_str().unwrap_or_default();
        *attempts.entry(machine).or_default() += record["attempts"].as_array().map_or(0, Vec::len);
    }
    let more = |(machine, count): &(&String, &usize)| {
        **count > attempts.get(machine.as_str()).copied().unwrap_or_default()
    };
    let forgotten: Vec<_> = calls.iter().filter(more).collect();
    row.require(forgotten.is_empty(), format!("more calls than intents: {forgotten:?}"));
}

/// What succeeded was made at the simulator, and what was made there is known to have been.
fn check_ends(site: &Site, records: &BTreeMap<String, Value>, row: &mut Row) {
    let made: HashMap<_, _> =
        site.simulator.machine_actions().into_iter().map(|made| (made.id, made.machine_id)).collect();
    let is_wrong = |record: &&Value| {
        let machine = made.get(record["machine_action"]["id"].as_str().unwrap_or_default());
        record["state"] == "succeeded" && machine.map(String::as_str) != record["machine"]["id"].as_str()
    };
    let wrong = records.values().filter(is_wrong).count();
    row.require(wrong == 0, format!("{wrong} succeeded without a machine action of theirs"));
}

/// How many actions ended in each state.
pub(crate) fn ends(records: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for record in records.values() {
        *ends.entry(record["state"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
    }
    ends
}

/// Every action must have succeeded.
pub(crate) fn require_success(records: &BTreeMap<String, Value>, row: &mut Row) {
    let ends = ends(records);
    let others: Vec<_> = ends.iter().filter(|(state, _)| *state != "succeeded").collect();
    row.require(others.is_empty(), format!("ends other than succeeded: {others:?}"));
}

/// How many actions went through a state.
pub(crate) fn went_through(records: &BTreeMap<String, Value>, state: &str) -> usize {
    let has = |record: &&Value| {
        record["history"].as_array().is_some_and(|all| all.iter().any(|change| change["to"] == state))
    };
    records.values().filter(has).count()
}
