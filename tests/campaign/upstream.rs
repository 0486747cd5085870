//! Defender and Entra ID at their worst: refusals, limits, redirects, garbage, nobody there, and all of it at once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::SignedDuration;
use quarantine_bridge::simulator::{Fault as Played, FaultKind, Place as At};
use tokio::time::Instant;

use crate::audit;
use crate::harness::binary::Serving;
use crate::proxy::{Fault, Place};
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{Answer, FAST, Site, wait};
use crate::tools::WallClock;

/// How often each fault strikes at the least: in the short form as often as calls are under way at once.
const TIMES_SHORT: u32 = 8;
const TIMES: u32 = 20;

/// How often the clock may be put forward until all is over.
const FORWARDS: usize = 40;

/// So often by a minute, afterwards by half an hour: a limit may ask for an hour.
const MINUTES: usize = 6;

/// How often it is asked whether all is over, before the clock is put forward.
const PATIENCE: usize = 20;

/// How many faults are tried at once.
const AT_ONCE: usize = 6;

/// One fault, and where it strikes.
#[derive(Debug, Clone)]
enum Trouble {
    /// Said by the simulator, on so many calls.
    Said(At, FaultKind),
    /// On the connection, by the proxy.
    Wire(Place, fn() -> Fault),
    /// Nobody listens.
    Refused,
    /// The other side speaks no TLS.
    NoTls,
    /// The list comes in pages of three.
    Pages,
    /// Tokens live for less than a minute.
    ShortTokens,
    /// A limit, with this `Retry-After`. It is waited for by the steady clock, which is read from the system and cannot be put
    /// forward here: a restart ends the wait.
    Throttled(Option<&'static str>),
    /// Any of the above that is not a clear no, on every third call.
    Mixed,
}

fn troubles() -> Vec<(String, Trouble)> {
    let mut all = Vec::new();
    let mut add = |name: &str, trouble: Trouble| all.push((name.to_owned(), trouble));
    for status in [400, 408, 409, 413, 423, 500, 502, 503, 504] {
        let kind = FaultKind::Status { status };
        add(&format!("call: {status} as HTML"), Trouble::Said(At::Quarantine, kind));
    }
    for (name, kind) in [
        ("401", FaultKind::Unauthorized),
        ("403 (words of 2021)", FaultKind::Forbidden2021),
        ("403 (words of 2023)", FaultKind::Forbidden2023),
        ("404 machine", FaultKind::MachineNotFound),
        ("404 file", FaultKind::FileNotFound),
        ("307", FaultKind::Redirect),
        ("201 with garbage", FaultKind::Garbage),
        ("201 truncated", FaultKind::Truncated),
        ("request lost", FaultKind::RequestLost),
    ] {
        add(&format!("call: {name}"), Trouble::Said(At::Quarantine, kind));
    }
    for (name, retry_after) in [
        ("in seconds", Some("2")),
        ("as a date", Some("Wed, 21 Oct 2015 07:28:00 GMT")),
        ("absent", None),
        ("huge", Some("99999999999999999999")),
        ("nonsense", Some("soon")),
    ] {
        add(&format!("call: 429, Retry-After {name}"), Trouble::Throttled(retry_after));
    }
    for status in [403, 500, 503] {
        add(&format!("list: {status}"), Trouble::Said(At::MachineActions, FaultKind::Status { status }));
    }
    add("list: truncated", Trouble::Said(At::MachineActions, FaultKind::Truncated));
    add("list: no answer", Trouble::Said(At::MachineActions, FaultKind::AnswerLost));
    let url = "https://elsewhere.example.test/".to_owned();
    add("list: next page elsewhere", Trouble::Said(At::MachineActions, FaultKind::NextLink { url }));
    add("list: pages of three", Trouble::Pages);
    add("token: 503", Trouble::Said(At::Token, FaultKind::TemporarilyUnavailable));
    add("token: 500", Trouble::Said(At::Token, FaultKind::Status { status: 500 }));
    add("token: wrong secret", Trouble::Said(At::Token, FaultKind::InvalidClient));
    add("token: closed", Trouble::Wire(Place::Token, || Fault::Closed));
    add("token: garbage", Trouble::Wire(Place::Token, || Fault::Garbage));
    add("token: lives 59 s", Trouble::ShortTokens);
    add("call: reset before it arrives", Trouble::Wire(Place::Quarantine, || Fault::RequestReset));
    add("call: connection closed", Trouble::Wire(Place::Quarantine, || Fault::Closed));
    add("call: garbage instead of HTTP", Trouble::Wire(Place::Quarantine, || Fault::Garbage));
    add("call: answer byte by byte", Trouble::Wire(Place::Quarantine, || Fault::Slow));
    add("list: garbage instead of HTTP", Trouble::Wire(Place::List, || Fault::Garbage));
    add("nobody listens", Trouble::Refused);
    add("TLS handshake fails", Trouble::NoTls);
    add("a third of all calls, mixed", Trouble::Mixed);
    all
}

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let seed = plan.seed;
    let times = if plan.size == 1 { TIMES_SHORT } else { TIMES };
    let rows = troubles().into_iter().map(|(name, trouble)| async move {
        let begin = Instant::now();
        let mut row = Row::new(name);
        for round in 0..plan.size.div_ceil(5) {
            let mut random = Random::new(seed + u64::try_from(round).unwrap(), &row.fault);
            suffer(&mut row, &trouble, (times, &mut random)).await;
        }
        println!("upstream: {}, {} s, failed: {}", row.fault, begin.elapsed().as_secs(), row.has_failed());
        row
    });
    let rows: Vec<_> = stream::iter(rows).buffered(AT_ONCE).collect().await;
    fold(rows)
}

/// One line for those that all went well: the table stays readable. Whatever failed has its own.
fn fold(rows: Vec<Row>) -> Vec<Row> {
    let count = rows.len();
    let (failed, well): (Vec<_>, Vec<_>) = rows.into_iter().partition(Row::has_failed);
    let mut sum = Row::new(format!("Defender and Entra ID: {count} kinds of refusal, limit and failure"));
    let fewest = well.iter().map(|row| row.trials).min().unwrap_or_default();
    sum.note(format!("each at least {fewest} times, then healed"));
    for row in well {
        sum.add(row);
    }
    [sum].into_iter().chain(failed).collect()
}

async fn suffer(row: &mut Row, trouble: &Trouble, (times, random): (u32, &mut Random)) {
    let mut site = Site::new(FAST).await;
    site.installation.edit("min_severity = \"low\"", "min_severity = \"low\"\nmax_age = \"7d\"");
    let clock = WallClock::new(site.installation.path("clock"));
    begin(&mut site, trouble, (times, random));
    let mut serving = serve(&site, &clock).await;
    let times = usize::try_from(times).unwrap();
    let mut next = times + 4;
    site.send_all(0..next).await;
    let struck = pass_time(&mut site, (&clock, &mut next), trouble, times).await;
    row.trials += struck;
    heal(&mut site, (trouble, &clock), &mut serving).await;
    for nth in 0..FORWARDS {
        if is_soon_over(&site).await {
            break;
        }
        put_forward(&mut site, &clock, nth).await;
        // A new alert would wake whoever waits too, and would then not be over.
        serving.hang_up();
    }
    let records = site.settled(Duration::from_secs(30)).await;
    audit::check(&site, &records, row);
    site.verify_record(row);
    row.require(serving.has_ended().is_none(), "it does not serve any more");
    row.require(row.trials > 0, "it never struck");
    serving.kill();
}

/// Starts it with clocks that are put forward, timers too: waits are over sooner.
async fn serve(site: &Site, clock: &WallClock) -> Serving {
    let mut command = clock.serve();
    command.env_remove("FAKETIME_DONT_FAKE_MONOTONIC");
    let serving = site.installation.start(command, "log");
    site.installation.wait_until_ready().await;
    serving
}

fn begin(site: &mut Site, trouble: &Trouble, (times, random): (u32, &mut Random)) {
    let once = |place, kind| Played { place, kind, times: Some(1) };
    match trouble {
        Trouble::Said(place, kind) => {
            site.simulator.play(Played { place: *place, kind: kind.clone(), times: Some(times) });
        }
        Trouble::Throttled(retry_after) => {
            let retry_after = retry_after.map(str::to_owned);
            let kind = FaultKind::Throttled { retry_after, code: "429".to_owned() };
            site.simulator.play(Played { place: At::Quarantine, kind, times: Some(times) });
        }
        Trouble::Wire(place, fault) => (0..times).for_each(|_| site.proxy.play(*place, fault())),
        Trouble::Refused => site.refuse_connections(),
        Trouble::NoTls => {
            let url = site.proxy.url();
            let (from, to) =
                (format!("api_url = \"{url}\""), format!("api_url = \"{}\"", url.replace("http:", "https:")));
            site.installation.edit(&from, &to);
        }
        Trouble::Pages => site.simulator.with(|state| state.switches.page_size = 3),
        Trouble::ShortTokens => site.simulator.with(|state| state.switches.token_life_s = 59),
        Trouble::Mixed => {
            let kinds = [
                FaultKind::Status { status: 503 },
                FaultKind::ActedThenStatus { status: 502 },
                FaultKind::AnswerLost,
                FaultKind::RequestLost,
                FaultKind::Garbage,
                FaultKind::Throttled { retry_after: Some("1".to_owned()), code: "429".to_owned() },
            ];
            for number in 0..4 * times {
                let is_struck = number % 3 == 0;
                let kind = if is_struck { random.pick(&kinds).clone() } else { FaultKind::Delay { ms: 0 } };
                site.simulator.play(once(At::Quarantine, kind));
            }
            site.simulator.play(Played {
                place: At::MachineActions,
                kind: FaultKind::Status { status: 503 },
                times: Some(5),
            });
        }
    }
}

/// Lets the clock go on until the fault has struck often enough; says how often.
async fn pass_time(
    site: &mut Site,
    (clock, next): (&WallClock, &mut usize),
    trouble: &Trouble,
    times: usize,
) -> usize {
    for nth in 0..FORWARDS {
        for _ in 0..PATIENCE {
            let struck = struck(site, trouble, times).await;
            let is_enough = match trouble {
                Trouble::Throttled(_) => struck > 0,
                Trouble::Pages | Trouble::ShortTokens => nth >= times,
                _ => struck >= times,
            };
            if is_enough {
                return struck;
            }
            wait(Duration::from_millis(50)).await;
        }
        forward(site, (clock, nth), next).await;
    }
    struck(site, trouble, times).await
}

/// How often the fault has struck.
async fn struck(site: &Site, trouble: &Trouble, times: usize) -> usize {
    let place = match trouble {
        Trouble::Said(place, _) => *place,
        _ => At::Quarantine,
    };
    let is_waiting = site.simulator.with(|state| state.faults.is_waiting(place));
    match trouble {
        Trouble::Wire(..) => site.proxy.struck(),
        // It does not come further than the token endpoint.
        Trouble::Refused => site.installation.log().matches("there is no token: ").count(),
        Trouble::NoTls => site.metric("quarantine_bridge_defender_requests_total", "status=\"none\"").await,
        Trouble::Throttled(_) => site.calls().iter().filter(|(.., status)| *status == 429).count(),
        Trouble::Said(..) | Trouble::Mixed if is_waiting => 0,
        Trouble::Pages | Trouble::ShortTokens | Trouble::Said(..) | Trouble::Mixed => times,
    }
}

/// Time goes by.
async fn put_forward(site: &mut Site, clock: &WallClock, nth: usize) {
    site.ahead += if nth < MINUTES { SignedDuration::from_secs(61) } else { SignedDuration::from_mins(31) };
    clock.set(site.ahead);
    // Connections that are open just now have waited too long all at once, and are told so.
    let mut in_a_row = 0;
    while in_a_row < 3 {
        let live = site.client.get(site.installation.url("/livez")).send().await;
        in_a_row = if live.is_ok_and(|answer| answer.status() == 200) { in_a_row + 1 } else { 0 };
    }
}

/// Time goes by, and an alert wakes whoever waits.
async fn forward(site: &mut Site, (clock, nth): (&WallClock, usize), next: &mut usize) {
    put_forward(site, clock, nth).await;
    let answer = site.ask(*next).await;
    if answer != Answer::Wrong(408) {
        site.note(*next, answer);
    }
    *next += 1;
    wait(Duration::from_millis(100)).await;
}

/// What was looked at just now takes a moment.
async fn is_soon_over(site: &Site) -> bool {
    for _ in 0..PATIENCE {
        if is_over(site).await {
            return true;
        }
        wait(Duration::from_millis(50)).await;
    }
    false
}

async fn is_over(site: &Site) -> bool {
    let records = site.records().await;
    !records.is_empty() && records.values().all(|record| record["final"] == true)
}

async fn heal(site: &mut Site, (trouble, clock): (&Trouble, &WallClock), serving: &mut Serving) {
    site.simulator.with(|state| state.faults.clear());
    site.proxy.calm();
    match trouble {
        Trouble::Refused => site.take_connections().await,
        Trouble::NoTls => {
            let url = site.proxy.url();
            site.installation.edit(&url.replace("http:", "https:"), &url);
            serving.signal("-KILL");
            *serving = serve(site, clock).await;
        }
        Trouble::Throttled(_) => {
            serving.signal("-KILL");
            *serving = serve(site, clock).await;
        }
        _ => {}
    }
}
