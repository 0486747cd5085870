//! SIGTERM, SIGKILL after it, and SIGHUP, while alerts come in and calls go out.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::audit;
use crate::proxy::{Fault, Place};
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};

const TERMS: usize = 100;
/// On so many databases.
const TERMS_AT_ONCE: usize = 5;
const KILLED_TERMS: usize = 20;
const HANGUPS: usize = 40;

/// Sent between two signals.
const SENT: usize = 8;

/// Kubernetes kills after 30 s.
const EXIT_MAX: Duration = Duration::from_secs(25);

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let mut random = Random::new(plan.seed, "signals");
    let terms = all_terms(&mut random, TERMS * plan.size).await;
    let killed = killed_terms(&mut random, KILLED_TERMS * plan.size).await;
    vec![terms, killed, hangups(&mut random, HANGUPS * plan.size).await]
}

async fn all_terms(random: &mut Random, count: usize) -> Row {
    let mut row = Row::new("SIGTERM under load");
    // Each end takes about a second of waiting.
    let mut randoms: Vec<_> =
        (0..TERMS_AT_ONCE).map(|_| Random::new(random.below(u64::MAX), "terms")).collect();
    let parts = randoms.iter_mut().map(|random| terms(random, count / TERMS_AT_ONCE));
    let mut longest = Duration::ZERO;
    for (part, ended) in join_all(parts).await {
        longest = longest.max(ended);
        row.add(part);
    }
    row.note(format!("ended within {} ms", longest.as_millis()));
    row
}

async fn terms(random: &mut Random, count: usize) -> (Row, Duration) {
    let mut row = Row::new("");
    let mut site = Site::new(FAST).await;
    let mut longest = Duration::ZERO;
    for term in 0..count {
        let serving = site.serve().await;
        let numbers: Vec<_> = (term * SENT..(term + 1) * SENT).collect();
        site.send_for(&numbers, random.millis(120)).await;
        let begin = Instant::now();
        serving.signal("-TERM");
        // Some are still being sent.
        site.send_for(&numbers, Duration::from_millis(10)).await;
        let code = timeout(EXIT_MAX, serving.ended()).await;
        longest = longest.max(begin.elapsed());
        row.require(code.is_ok_and(|status| status.code() == Some(0)), "no clean end within 25 s");
        row.trials += 1;
    }
    finish(&mut site, count * SENT, &mut row).await;
    (row, longest)
}

/// The end comes while calls are under way whose answers do not come.
async fn killed_terms(random: &mut Random, count: usize) -> Row {
    let mut row = Row::new("SIGTERM, then SIGKILL before it has ended");
    let mut site = Site::new(FAST).await;
    for term in 0..count {
        site.proxy.always(Place::Quarantine, || Fault::Stall);
        let serving = site.serve().await;
        let numbers: Vec<_> = (term * SENT..(term + 1) * SENT).collect();
        site.send_for(&numbers, Duration::from_millis(100) + random.millis(100)).await;
        serving.signal("-TERM");
        wait(random.millis(150)).await;
        serving.kill();
        site.proxy.calm();
        row.trials += 1;
    }
    let records = finish(&mut site, count * SENT, &mut row).await;
    row.note(format!("{records} calls caught between intent and outcome"));
    row.require(records > 0, "no kill came between an intent and its outcome");
    row
}

/// A good configuration is taken over, a bad one changes nothing, and neither disturbs what goes on.
async fn hangups(random: &mut Random, count: usize) -> Row {
    let mut row = Row::new("SIGHUP under load, every second configuration bad");
    let mut site = Site::new(&FAST.replace("\"warn\"", "\"info\"")).await;
    let good = fs::read_to_string(site.installation.config()).unwrap();
    let serving = site.serve().await;
    for hangup in 0..count {
        let text = match hangup % 4 {
            0 => good.replace("min_severity = \"low\"", "min_severity = \"medium\""),
            1 => good.replace("mode = \"enforce\"", "mode = \"enfroce\""),
            2 => good.clone(),
            _ => good[..random_cut(random, &good)].to_owned(),
        };
        fs::write(site.installation.config(), text).unwrap();
        let numbers: Vec<_> = (hangup * SENT..(hangup + 1) * SENT).collect();
        site.send_for(&numbers, random.millis(40)).await;
        serving.hang_up();
        site.send_for(&numbers, Duration::from_millis(40)).await;
        row.trials += 1;
    }
    fs::write(site.installation.config(), &good).unwrap();
    serving.hang_up();
    site.send_all(0..count * SENT).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.require(serving.terminate().await == Some(0), "it did not serve to the end");
    let log = site.installation.log();
    let refused = log.matches("enfroce").count();
    row.note(format!("bad configurations told in the log {refused} times"));
    row.require(refused > 0, "no bad configuration was noticed");
    row
}

/// Somewhere in the middle of a line that is needed.
fn random_cut(random: &mut Random, text: &str) -> usize {
    let begin = text.find("client_id").unwrap();
    begin + usize::try_from(random.below(40)).unwrap()
}

/// All that was meant to be sent is, and all of it comes to its end. Returns how many calls were caught.
async fn finish(site: &mut Site, count: usize, row: &mut Row) -> usize {
    let serving = site.serve().await;
    site.send_all(0..count).await;
    let records = site.audit(row).await;
    audit::require_success(&records, row);
    row.require(serving.terminate().await == Some(0), "no clean end");
    audit::went_through(&records, "uncertain")
}
