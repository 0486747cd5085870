//! Two instances on one database: one serves, the other says why it does not; a lock outlives nobody.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use crate::audit;
use crate::harness::binary::{Serving, command};
use crate::harness::poll;
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site};

const SECONDS: usize = 25;
const RACES: usize = 25;
const STALE: usize = 25;

/// Sent between two trials.
const SENT: usize = 4;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let mut random = Random::new(plan.seed, "instances");
    let mut site = Site::new(FAST).await;
    let config = fs::read_to_string(site.installation.config()).unwrap();
    let (own, other) = (site.installation.port.to_string(), free_port().to_string());
    site.installation.write("other.toml", &config.replace(&own, &other));
    let mut next = 0;
    let seconds = seconds(&mut site, SECONDS * plan.size, &mut next).await;
    let races = races(&mut site, RACES * plan.size).await;
    let mut stale = stale(&mut site, &mut random, STALE * plan.size, &mut next).await;
    let serving = site.serve().await;
    site.send_all(0..next).await;
    let records = site.audit(&mut stale).await;
    audit::require_success(&records, &mut stale);
    stale.require(serving.terminate().await == Some(0), "no clean end");
    vec![seconds, races, stale]
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A second one beside a running one.
async fn seconds(site: &mut Site, count: usize, next: &mut usize) -> Row {
    let mut row = Row::new("second instance beside a serving one");
    let serving = site.serve().await;
    for _ in 0..count {
        let output = site.installation.run(&["serve", "--config", "other.toml"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        row.require(!output.status.success(), "a second instance ran");
        row.require(told.contains("another instance is using"), format!("it does not say why: {told}"));
        site.send_all(*next..*next + SENT).await;
        *next += SENT;
        row.trials += 1;
    }
    row.require(serving.terminate().await == Some(0), "the first was disturbed");
    row
}

/// Two that are started at the same moment: one of them serves.
async fn races(site: &mut Site, count: usize) -> Row {
    let mut row = Row::new("two instances started at once");
    for _ in 0..count {
        let mut second = command(&["serve", "--config", "other.toml"]);
        second.stdout(Stdio::null());
        let mut both = [site.installation.serve(), site.installation.start(second, "other.log")];
        let mut ended = 0;
        poll("one of the two to give up", || {
            ended = both.iter_mut().filter_map(Serving::has_ended).filter(|end| !end.success()).count();
            ended > 0
        })
        .await;
        row.require(ended == 1, format!("{ended} of two ended"));
        let [first, second] = both;
        first.kill();
        second.kill();
        row.trials += 1;
    }
    row.require(site.installation.path("other.log").exists(), "no log");
    row
}

/// After kill -9 the next one serves at once: the lock was the process's.
async fn stale(site: &mut Site, random: &mut Random, count: usize, next: &mut usize) -> Row {
    let mut row = Row::new("stale lock after kill -9");
    for _ in 0..count {
        let serving = site.serve().await;
        let numbers: Vec<_> = (*next..*next + SENT).collect();
        site.send_for(&numbers, random.millis(40)).await;
        *next += SENT;
        row.require(site.installation.path("bridge.db.lock").exists(), "there is no lock file");
        serving.kill();
        row.trials += 1;
    }
    row
}
