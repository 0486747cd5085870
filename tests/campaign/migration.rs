//! kill -9 in the middle of a migration, at every write and fsync; a database that is newer than the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::harness::binary::Installation;
use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};
use crate::tools::{self, Inject};

/// "qbrg" in ASCII marks the file as ours.
const APPLICATION_ID: i64 = 0x7162_7267;

/// What a migration does to the disk.
const CALLS: [&str; 3] = ["pwrite64", "fdatasync", "ftruncate,unlink"];

/// In the short form, every n-th of them, beginning anywhere.
const STRIDE: u64 = 4;

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    tools::require("strace", "strace");
    let mut random = Random::new(plan.seed, "migration");
    vec![kills(&mut random, plan).await, newer().await]
}

/// The migrations, and the sample data of the tests for each.
fn migrations() -> Vec<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = fs::read_dir(root.join("src/store/migrations")).unwrap();
    let mut files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
    files.sort();
    let sample = |file: &Path| {
        let number = &file.file_name().unwrap().to_str().unwrap()[..4];
        root.join(format!("tests/data/migrations/{number}.sql"))
    };
    files.into_iter().map(|file| (file.clone(), sample(&file))).collect()
}

/// Makes a database of a version, with data.
fn make(path: &Path, version: usize) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        drop(fs::remove_file(path.with_file_name(format!("bridge.db{ending}"))));
    }
    let db = Connection::open(path).unwrap();
    for (migration, sample) in &migrations()[..version] {
        db.execute_batch(&fs::read_to_string(migration).unwrap()).unwrap();
        db.execute_batch(&fs::read_to_string(sample).unwrap()).unwrap();
    }
    db.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    db.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
}

async fn kills(random: &mut Random, plan: Plan) -> Row {
    let newest = migrations().len();
    let mut row = Row::new("kill -9 during migration, at each write, fsync and truncation");
    let mut site = Site::new(FAST).await;
    let stride = if plan.size > 1 { 1 } else { STRIDE };
    for version in 1..newest {
        for calls in CALLS {
            let mut when = 1 + random.below(stride);
            let mut misses = 0;
            while misses < 2 {
                let struck = kill_at(&mut site, (version, calls, when), &mut row).await;
                misses = if struck { 0 } else { misses + 1 };
                row.trials += usize::from(struck);
                when += stride;
            }
        }
    }
    row.note(format!("from each of {} older schemas", newest - 1));
    row.require(row.trials >= 20, "it hardly struck");
    row
}

/// Kills at the n-th call, then starts as usual; says whether it was killed.
async fn kill_at(site: &mut Site, (version, calls, when): (usize, &str, u64), row: &mut Row) -> bool {
    make(&site.installation.path("bridge.db"), version);
    let inject = Inject::new(calls, format!("signal=SIGKILL:when={when}"));
    let mut serving = site.installation.start(inject.serve(&site.installation.path("trace")), "log");
    let struck = loop {
        if serving.has_ended().is_some() {
            break true;
        }
        if answers(&site.installation).await {
            break false;
        }
        wait(Duration::from_millis(5)).await;
    };
    serving.kill();
    check(site, row).await;
    struck
}

async fn answers(installation: &Installation) -> bool {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(installation.url("/livez")).send().await.is_ok()
}

/// All of the sample data is there, and goes on from where it stood.
async fn check(site: &mut Site, row: &mut Row) {
    let serving = site.serve().await;
    site.renew_token();
    let records = site.records().await;
    let histories: usize = records.values().map(|action| action["history"].as_array().unwrap().len()).sum();
    row.lost += 2_usize.saturating_sub(records.len());
    row.accepted += 2;
    row.require(histories >= 6, format!("{histories} lines of history, 6 were there"));
    let delivery = site.read("/v1/deliveries/019ca945-0a00-7000-8000-000000000003").await;
    let is_whole = delivery.is_some_and(|delivery| delivery["delivery_key"].is_string());
    row.require(is_whole, "a delivery is gone");
    row.require(site.calls().is_empty(), "an old action was sent again");
    serving.kill();
}

/// A database that a newer version made is refused and left as it is.
async fn newer() -> Row {
    let mut row = Row::new("database newer than the binary");
    let site = Site::new(FAST).await;
    let database = site.installation.path("bridge.db");
    let newest = migrations().len();
    for beyond in [1, 2, 95] {
        make(&database, newest);
        let db = Connection::open(&database).unwrap();
        db.pragma_update(None, "user_version", i64::try_from(newest + beyond).unwrap()).unwrap();
        drop(db);
        let before = fs::read(&database).unwrap();
        let output = site.installation.run(&["serve"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        row.require(!output.status.success(), "it runs on a newer database");
        row.require(told.contains("run the newer version"), format!("it does not say what to do: {told}"));
        let after = fs::read(&database).unwrap();
        row.require(before[100..] == after[100..], "it changed a newer database");
        row.trials += 1;
    }
    row
}
