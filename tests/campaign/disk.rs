//! A full disk and I/O errors: at each write and fsync by strace, and on a small file system that is really full.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::audit;
use crate::harness::binary::Serving;
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{Answer, FAST, Site, wait};
use crate::tools::{self, Inject, injected};

/// What fails, on which file, how, and what must become of the service.
const ERRORS: [(&str, &str, &str, Expected); 7] = [
    ("pwrite64", "bridge.db-wal", "ENOSPC", Expected::Mends),
    ("pwrite64", "bridge.db-wal", "EIO", Expected::Stops),
    ("fdatasync", "bridge.db-wal", "EIO", Expected::Stops),
    ("fdatasync", "bridge.db-wal", "ENOSPC", Expected::Stops),
    ("openat", "bridge.db-wal", "EMFILE", Expected::Either),
    ("openat", "bridge.db", "EACCES", Expected::Either),
    ("flock", "bridge.db.lock", "ENOLCK", Expected::Either),
];

/// What must become of a service whose disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It goes on by itself when there is space again.
    Mends,
    /// It ends with an error: the kernel may have thrown the data away.
    Stops,
    /// One of the two, or it does not start.
    Either,
}

/// In the short form, every n-th call fails, beginning anywhere.
const STRIDE: u64 = 10;

/// There are calls of which there is no end.
const TRIALS_MAX: usize = 400;

/// Alerts that are sent while an error is awaited, in so many rounds.
const SENT: usize = 12;
const ROUNDS: usize = 4;

/// How many deliveries are sent to a full file system at the most, until one is put off.
const FILLED_MAX: usize = 2_000;

/// How often the small file system is filled.
const FILLS: usize = 5;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    tools::require("strace", "strace");
    let mut random = Random::new(plan.seed, "disk");
    let stride = (STRIDE / u64::try_from(plan.size).unwrap()).max(1);
    let mut rows = Vec::new();
    for (calls, file, error, expected) in ERRORS {
        let mut row = Row::new(format!("{error} on {calls} of {file}"));
        fail_each(&mut row, (calls, file, error), expected, (stride, &mut random)).await;
        rows.push(row);
    }
    rows.push(full(plan).await);
    rows
}

/// Lets the k-th call fail, for each k until it is not reached any more.
async fn fail_each(
    row: &mut Row,
    (calls, file, error): (&str, &str, &str),
    expected: Expected,
    (stride, random): (u64, &mut Random),
) {
    let mut site = Site::new(FAST).await;
    let folder = fs::canonicalize(site.installation.folder.path()).unwrap();
    let (begin, stride) = match calls {
        "pwrite64" => (1 + random.below(stride), stride),
        "fdatasync" => (1, stride.div_ceil(4)),
        // Few are made, most of them at the start.
        _ => (1, 1),
    };
    let (mut when, mut misses, mut next) = (begin, 0, 0);
    while misses < 2 && row.trials < TRIALS_MAX {
        let inject = Inject::new(calls, format!("error={error}:when={when}")).on(folder.join(file));
        let struck = fail(&mut site, &inject, expected, (row, next)).await;
        misses = if struck { 0 } else { misses + 1 };
        row.trials += usize::from(struck);
        next += SENT;
        when += stride;
    }
    let serving = site.serve().await;
    site.send_all(0..next).await;
    let records = site.audit(row).await;
    audit::require_success(&records, row);
    row.require(serving.terminate().await == Some(0), "no clean end");
}

/// One trial; says whether the error struck.
async fn fail(site: &mut Site, inject: &Inject, expected: Expected, (row, first): (&mut Row, usize)) -> bool {
    let trace = site.installation.path("trace");
    drop(fs::remove_file(&trace));
    let mut serving = site.installation.start(inject.serve(&trace), "log");
    if !is_up(site, &mut serving).await {
        // It did not start, and says so by its code.
        let ended = serving.has_ended().is_some_and(|status| !status.success());
        row.require(ended, format!("{}: neither ready nor ended", inject.what));
        serving.kill();
        return injected(&trace) > 0;
    }
    let per_round = SENT / ROUNDS;
    for round in 0..ROUNDS {
        let begin = first + round * per_round;
        let numbers: Vec<_> = (begin..begin + per_round).collect();
        site.send_for(&numbers, Duration::from_millis(60)).await;
    }
    let struck = injected(&trace) > 0;
    let mut ended = serving.has_ended();
    if struck && expected == Expected::Stops {
        for _ in 0..100 {
            ended = serving.has_ended();
            if ended.is_some() {
                break;
            }
            wait(Duration::from_millis(50)).await;
        }
        let failed = ended.is_some_and(|status| !status.success());
        row.require(failed, format!("{}: it goes on after the disk failed: {ended:?}", inject.what));
    }
    if struck && expected == Expected::Mends {
        let mut mended = false;
        for _ in 0..50 {
            mended = site.send(first).await == Answer::Accepted;
            if mended {
                break;
            }
            wait(Duration::from_millis(100)).await;
        }
        row.require(mended, format!("{}: it does not go on by itself", inject.what));
    }
    serving.kill();
    struck
}

/// Waits until it is ready, or has ended.
async fn is_up(site: &Site, serving: &mut Serving) -> bool {
    for _ in 0..600 {
        if serving.has_ended().is_some() {
            return false;
        }
        let ready = site.client.get(site.installation.url("/readyz")).send().await;
        if ready.is_ok_and(|response| response.status() == 200) {
            return true;
        }
        wait(Duration::from_millis(10)).await;
    }
    false
}

/// A file system of some megabytes, room for a WAL before it is folded; gone when dropped.
struct Small(PathBuf);

impl Small {
    /// `None` where mounts are not allowed.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=48m", "campaign"]).arg(&at);
        mount.status().is_ok_and(|status| status.success()).then_some(Self(at))
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// A file system that is really full: 503 with `Retry-After`, not ready, and well again without a restart.
async fn full(plan: Plan) -> Row {
    let mut row = Row::new("file system full (tmpfs of 48 MiB)");
    let mut site = Site::new(FAST).await;
    let Some(small) = Small::mount(site.installation.path("small")) else {
        row.require(false, "mounts are not allowed here: run it as root");
        return row;
    };
    site.installation.edit("path = \"bridge.db\"", "path = \"small/bridge.db\"");
    site.renew_token();
    site.proxy.watch(&site.installation.path("small/bridge.db"));
    let serving = site.serve().await;
    let (mut next, mut put_off) = (0, 0);
    for _ in 0..FILLS * plan.size {
        // Calls are under way when it fills up: their outcomes must be written later.
        let numbers: Vec<_> = (next..next + 40).collect();
        site.send_for(&numbers, Duration::from_millis(50)).await;
        small.fill();
        // Some still fit, for the log has room that it uses again.
        let mut refused = 0;
        let mut sent = 0;
        while sent < 40 || (refused == 0 && sent < FILLED_MAX) {
            refused += usize::from(site.send(next + sent).await == Answer::PutOff);
            sent += 1;
        }
        row.require(refused > 0, format!("none of {sent} deliveries was put off on a full disk"));
        put_off += refused;
        let ready = site.client.get(site.installation.url("/readyz")).send().await.unwrap();
        row.require(ready.status() == 503, format!("/readyz says {} on a full disk", ready.status()));
        row.require(ready.headers().contains_key("retry-after"), "/readyz without Retry-After");
        wait(Duration::from_millis(300)).await;
        small.free();
        site.installation.wait_until_ready().await;
        next += sent;
        row.trials += 1;
    }
    row.note(format!("{put_off} deliveries put off with 503 and Retry-After"));
    site.send_all(0..next).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.require(serving.terminate().await == Some(0), "it did not serve to the end");
    row
}
