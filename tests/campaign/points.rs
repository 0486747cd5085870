//! kill -9 at named points: of a connection to Defender, by the proxy; of the store and of sockets, by strace.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::audit;
use crate::proxy::{Fault, Place, Point};
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};
use crate::tools::{self, Inject};

/// Where a connection to Defender or Entra ID may stand when the kill comes.
const POINTS: [(&str, Place, Point); 16] = [
    ("connected", Place::Quarantine, Point::Connected),
    ("token asked for", Place::Token, Point::RequestBegun),
    ("token asked for, not arrived", Place::Token, Point::RequestRead),
    ("token made, not answered", Place::Token, Point::Acted),
    ("token's answer begun", Place::Token, Point::AnswerBegun),
    ("token answered", Place::Token, Point::Answered),
    ("call begun", Place::Quarantine, Point::RequestBegun),
    ("call sent, not arrived", Place::Quarantine, Point::RequestRead),
    ("call acted on, not answered", Place::Quarantine, Point::Acted),
    ("201 begun", Place::Quarantine, Point::AnswerBegun),
    ("after 201, outcome not recorded", Place::Quarantine, Point::Answered),
    ("list asked for", Place::List, Point::RequestBegun),
    ("list asked for, not arrived", Place::List, Point::RequestRead),
    ("list read, not answered", Place::List, Point::Acted),
    ("list's answer begun", Place::List, Point::AnswerBegun),
    ("list answered, not recorded", Place::List, Point::Answered),
];

/// Kills on the way into the n-th of these calls of a thread; which n is drawn below a bound.
const CALLS: [(&str, &str, Option<&str>, u64); 10] = [
    ("write to the WAL", "pwrite64", Some("bridge.db-wal"), 160),
    ("fsync of the WAL", "fdatasync", Some("bridge.db-wal"), 14),
    ("write to the WAL's index", "pwrite64", Some("bridge.db-shm"), 8),
    ("open of a file", "openat", None, 60),
    ("connection going out", "connect", None, 6),
    ("connection coming in", "accept4", None, 8),
    ("bytes sent", "sendto,writev", None, 12),
    ("bytes received", "recvfrom", None, 40),
    ("thread begun", "clone3,clone", None, 12),
    ("wake-up of another thread", "futex", None, 60),
];

/// The same where the WAL is folded into the database: beside the writer, and once in 1,000 pages by it.
const FOLDING: [(&str, &str, u64); 2] =
    [("write to the database", "pwrite64", 40), ("fsync of the database", "fdatasync", 1)];

/// Alerts that make so many pages.
const FOLDED: usize = 250;

/// How often each, at the least.
const TIMES: usize = 3;

/// Alerts that are sent while a kill is awaited.
const SENT: usize = 6;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let mut random = Random::new(plan.seed, "points");
    let times = TIMES * plan.size;
    vec![connections(times).await, system_calls(&mut random, times).await]
}

async fn connections(times: usize) -> Row {
    let mut row = Row::new(format!("kill -9 at {} points of a connection", POINTS.len()));
    let mut site = Site::new(FAST).await;
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next = 0;
    for _ in 0..times {
        for (name, place, point) in POINTS {
            *hits.entry(name).or_default() += usize::from(strike(&mut site, place, point, next).await);
            next += SENT;
        }
    }
    row.trials = hits.values().sum();
    let missed: Vec<_> = hits.iter().filter(|(_, count)| **count == 0).collect();
    row.require(missed.is_empty(), format!("never struck: {missed:?}"));
    finish(&mut site, next, &mut row).await;
    row
}

/// Kills when the point is reached; says whether it was.
async fn strike(site: &mut Site, place: Place, point: Point, first: usize) -> bool {
    let (tell, told) = oneshot::channel();
    site.proxy.play(place, Fault::Halt(point, tell));
    let serving = site.serve().await;
    let numbers: Vec<_> = (first..first + SENT).collect();
    site.send_for(&numbers, Duration::from_millis(200)).await;
    // A new machine action is looked for in the list after five seconds.
    let reached = timeout(Duration::from_secs(8), told).await.is_ok_and(|told| told.is_ok());
    serving.kill();
    site.proxy.calm();
    reached
}

async fn system_calls(random: &mut Random, times: usize) -> Row {
    tools::require("strace", "strace");
    let kinds = CALLS.len() + FOLDING.len();
    let mut row = Row::new(format!("kill -9 on the way into {kinds} kinds of system call"));
    let mut site = Site::new(FAST).await;
    let folder = fs::canonicalize(site.installation.folder.path()).unwrap();
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next = 0;
    for time in 0..times {
        for (name, calls, file, bound) in CALLS {
            let kill = format!("signal=SIGKILL:when={}", 1 + random.below(bound));
            let inject = Inject::new(calls, kill);
            let inject = match file {
                Some(file) => inject.on(folder.join(file)),
                None => inject,
            };
            *hits.entry(name).or_default() +=
                usize::from(killed_by(&mut site, &inject, next..next + SENT).await);
            next += SENT;
        }
        let (name, calls, bound) = FOLDING[time % FOLDING.len()];
        let kill = format!("signal=SIGKILL:when={}", 1 + random.below(bound));
        let inject = Inject::new(calls, kill).on(folder.join("bridge.db"));
        *hits.entry(name).or_default() +=
            usize::from(killed_by(&mut site, &inject, next..next + FOLDED).await);
        next += FOLDED;
    }
    row.trials = hits.values().sum();
    row.note(format!("{hits:?}").replace('"', ""));
    let missed: Vec<_> = hits.iter().filter(|(_, count)| **count == 0).collect();
    row.require(missed.is_empty(), format!("never struck: {missed:?}"));
    finish(&mut site, next, &mut row).await;
    row
}

/// Runs the service until strace kills it; says whether it did.
async fn killed_by(site: &mut Site, inject: &Inject, alerts: Range<usize>) -> bool {
    let command = inject.serve(&site.installation.path("trace"));
    let mut serving = site.installation.start(command, "log");
    // A few at a time, so that many transactions are made of them.
    let numbers: Vec<_> = alerts.collect();
    let rounds = 10.max(numbers.len() / 4);
    for round in 0..rounds {
        if serving.has_ended().is_some() {
            return true;
        }
        let begin = (round * 4).min(numbers.len());
        let some =
            if numbers.len() < 10 { &numbers[..] } else { &numbers[begin..(begin + 4).min(numbers.len())] };
        site.send_for(some, Duration::from_millis(60)).await;
        wait(Duration::from_millis(40)).await;
    }
    serving.signal("-TERM");
    serving.ended().await.signal() == Some(9)
}

/// All that was meant to be sent is, and all of it comes to its end.
async fn finish(site: &mut Site, count: usize, row: &mut Row) {
    let serving = site.serve().await;
    site.send_all(0..count).await;
    let records = site.audit(row).await;
    audit::require_success(&records, row);
    let caught = audit::went_through(&records, "uncertain");
    row.note(format!("{caught} calls caught between intent and outcome"));
    row.require(caught > 0, "no kill came between an intent and its outcome");
    row.require(serving.terminate().await == Some(0), "no clean end");
}
