//! A wall clock that is set while the service runs: an hour or a day, forwards or backwards.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{after, before};
use quarantine_bridge::clock::Clock;

use crate::audit;
use crate::proxy::{Fault, Place};
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};
use crate::tools::WallClock;

/// By how many seconds the clock is off after one step, and after another soon after it.
const STEPS: [(&str, i64, i64); 6] = [
    ("set forwards by 1 h, twice", 3_600, 7_200),
    ("set back by 1 h, twice", -3_600, -7_200),
    ("set forwards by 1 day, twice", 86_400, 172_800),
    ("set back by 1 day, twice", -86_400, -172_800),
    ("set forwards by 1 h and right again", 3_600, 0),
    ("set back by 1 h and right again", -3_600, 0),
];

/// How long ago the alerts happened.
const HAPPENED: SignedDuration = SignedDuration::from_hours(72);

/// Calls a minute, for the bridge and for the simulator.
const CALLS: usize = 20;

/// Answers that are lost, so that an early second call would show.
const LOST: usize = 6;

/// The list lags for longer than the watch, and less than the settle time.
const CONFIG: [(&str, &str); 2] =
    [("calls_per_minute = 1000000", "calls_per_minute = 20"), ("settle = \"1s\"", "settle = \"40s\"")];

/// How long after a step the calls are watched.
const WATCH: Duration = Duration::from_secs(9);

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..plan.size {
        rows.clear();
        for two in STEPS.chunks(2) {
            rows.extend(join_all(two.iter().map(|(name, first, second)| step(name, *first, *second))).await);
        }
    }
    rows
}

async fn step(name: &str, first: i64, second: i64) -> Row {
    let mut row = Row::new(format!("clock {name}"));
    let config = CONFIG.iter().fold(FAST.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut site = Site::new(&config).await;
    site.installation.edit("min_severity = \"low\"", "min_severity = \"low\"\nmax_age = \"9d\"");
    // Days ago, so that none lies in the future of a clock that was set back: such an alert is held.
    site.occurred_at = before(Clock::system().now(), HAPPENED);
    site.simulator.with(|state| {
        state.switches.per_minute = u32::try_from(CALLS).unwrap();
        state.switches.list_lag_ms = 20_000;
    });
    for _ in 0..LOST {
        site.proxy.play(Place::Quarantine, Fault::AnswerCut { permille: 0 });
    }
    let clock = WallClock::new(site.installation.path("clock"));
    let serving = site.installation.start(clock.serve(), "log");
    site.installation.wait_until_ready().await;
    site.send_all(0..2 * CALLS).await;
    wait(Duration::from_secs(2)).await;
    for seconds in [first, second] {
        site.ahead = SignedDuration::from_secs(seconds);
        clock.set(site.ahead);
        // Deliveries wake the dispatcher, and are signed by the clock as it is now.
        let more = site.accepted.len();
        site.send_all(more..more + 5).await;
        wait(WATCH / 2).await;
        row.trials += 1;
    }
    watch_was_quiet(&site, &mut row);
    row.require(site.records().await.len() == site.accepted.len(), "an alert is not in the API");
    // The limits are lifted: all comes to its end. A clock that is set back stays so. One that is ahead is set right, for machine
    // actions that seem to be hours old are looked at every 5 minutes only.
    if second > 0 {
        site.ahead = SignedDuration::ZERO;
        clock.set(site.ahead);
    }
    site.simulator.with(|state| {
        state.switches.per_minute = 1_000_000;
        state.switches.list_lag_ms = 0;
    });
    site.installation.edit("calls_per_minute = 20", "calls_per_minute = 1000000");
    serving.hang_up();
    finish(&site, &mut row).await;
    row.require(serving.terminate().await == Some(0), "no clean end");
    row
}

/// No call was beyond the minute's limit, and none was made a second time.
fn watch_was_quiet(site: &Site, row: &mut Row) {
    let calls = site.calls();
    let mut machines: Vec<_> = calls.iter().map(|(machine, ..)| machine).collect();
    machines.sort();
    machines.dedup();
    let early = calls.len() - machines.len();
    // Any minute that begins with a call, by the true clock: a loaded machine takes longer than one.
    let within = |begin: Timestamp| {
        let end = after(begin, SignedDuration::from_secs(60));
        calls.iter().filter(|(_, at, _)| *at >= begin && *at < end).count()
    };
    let most = calls.iter().map(|(_, at, _)| within(*at)).max().unwrap_or(0);
    let throttled = calls.iter().filter(|(.., status)| *status == 429).count();
    row.note(format!("{most} calls in the fullest minute, {CALLS} allowed; {early} early second calls"));
    row.require(calls.len() >= LOST, "hardly a call was made");
    row.require(most <= CALLS, format!("{most} calls within a minute"));
    row.require(throttled == 0, format!("{throttled} calls were answered 429"));
    row.require(early == 0, format!("{early} early second calls"));
}

async fn finish(site: &Site, row: &mut Row) {
    let records = site.settled(Duration::from_mins(2)).await;
    audit::check(site, &records, row);
    site.verify_record(row);
    let ends = audit::ends(&records);
    row.note(format!("ends {ends:?}").replace('"', ""));
}
