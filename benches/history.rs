//! A store with 1,000,000 actions that are over: time to start, deliveries a second, lists, and deliveries while it is pruned.
//!
//! `cargo bench --bench history`. It fills a database of some 6 GB in the build folder first. Fails on what is promised.
#![expect(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark that cannot go on stops"
)]

mod inside;
mod load;
mod service;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use inside::Posted;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::retention::Pruner;
use quarantine_bridge::store::{Options, Retention, Store, StoreError};
use quarantine_bridge::telemetry::Metrics;
use rusqlite::Connection;
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::Instant;

const STORED: u32 = 1_000_000;
const CONNECTIONS: usize = 128;
const DELIVERIES: usize = 20_000;
const ROUNDS: usize = 7;
const PROMISED_START: Duration = Duration::from_secs(2);
const PROMISED_RATIO: f64 = 0.9;
const PROMISED_LIST: Duration = Duration::from_millis(100);

/// How much longer 99 of 100 answers may take while the store is pruned.
const PROMISED_SLOWDOWN: f64 = 2.0;

fn main() -> ExitCode {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let begin = Instant::now();
    let path = folder.path().join("bridge.db");
    fill(&path);
    let mib = fs::metadata(&path).unwrap().len() >> 20;
    println!("{STORED} actions stored, {mib} MiB, in {:.0?}", begin.elapsed());
    let kept = [starts(folder.path()), accepts(&path), accepts_while_pruned(&path)];
    if kept.iter().all(|kept| *kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Actions that ended 100 days ago, with deliveries of 2 KiB, history and attempts.
fn fill(path: &Path) {
    drop(open(path));
    drop(open(path));
    let db = Connection::open(path).unwrap();
    let ended = Clock::system().now().as_millisecond() - 100 * 86_400_000;
    db.execute_batch(&format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN;
         CREATE TEMP TABLE n (n INTEGER PRIMARY KEY);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {STORED}) INSERT INTO n SELECT n FROM c;
         CREATE TEMP VIEW old AS SELECT n, {ended} + n AS at,
             printf('%08x-%04x-7', ({ended} + n) >> 16, ({ended} + n) & 65535) || printf('000-8000-%012x', n) AS id,
             printf('%08x', n * 2654435761 & 4294967295) AS mixed FROM n;
         INSERT INTO deliveries (seq, id, source, delivery_key, key_id, signed_at, received_at, body, body_sha256, outcome,
                                 alert_ids, refused)
             SELECT n, id, 'soc', 'old-' || mixed || n, '0123abcd', at, at, zeroblob(2048), randomblob(32), 'accepted',
                    '[\"' || mixed || '-old-' || n || '\"]', '[]' FROM old;
         INSERT INTO alerts (seq, source, alert_id, severity, title, occurred_at)
             SELECT n, 'soc', mixed || '-old-' || n, 'high', 'Malware was found and not stopped', at FROM old;
         INSERT INTO actions (seq, id, alert_seq, delivery_id, source, pair_key, given_machine_id, given_sha1, machine_id, sha1,
                              severity_rank, accepted_at, state, changed_at, attempts, intent_at, first_intent_at,
                              machine_action_id, machine_action_status, machine_action_since, seal)
             SELECT n, id, n, id, 'soc', 'id:' || printf('%040x', n) || ' sha1:' || printf('%040x', n), printf('%040x', n),
                    printf('%040x', n), printf('%040x', n), printf('%040x', n), 3, at, 'succeeded', at, 1, at, at, id,
                    'Succeeded', at, randomblob(32) FROM old;
         INSERT INTO history (action_seq, n, at, from_state, to_state, why, who, facts)
             SELECT old.n, s.column1, at, s.column2, s.column3, 'as the bridge writes it, a sentence or so', 'bridge', '[]'
             FROM old CROSS JOIN (VALUES (1, NULL, 'accepted'), (2, 'accepted', 'resolving'), (3, 'resolving', 'decided'),
                 (4, 'decided', 'queued'), (5, 'queued', 'sending'), (6, 'sending', 'submitted'),
                 (7, 'submitted', 'succeeded')) s;
         INSERT INTO attempts (action_seq, n, intent_at, ended_at, outcome) SELECT n, 1, at, at, 'accepted' FROM old;
         INSERT INTO calls (at) SELECT at FROM old ORDER BY n DESC LIMIT 20000;
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .unwrap();
}

/// The writer's thread lets go of the database a moment after its last handle.
fn open(path: &Path) -> Store {
    loop {
        match Store::open(&Options { path: path.to_owned() }) {
            Err(StoreError::InUse(_)) => thread::sleep(Duration::from_millis(5)),
            store => return store.unwrap(),
        }
    }
}

/// Time from start to ready, and lists of the running service.
fn starts(folder: &Path) -> bool {
    let address = service::free_address();
    service::configure(folder, address);
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        let begin = Instant::now();
        let mut running = service::start(folder, address);
        longest = longest.max(begin.elapsed());
        service::stop(&mut running);
    }
    println!("start to ready, longest of 3  {longest:.2?}, promised {PROMISED_START:?} at most");
    let mut running = service::start(folder, address);
    let lists = lists(folder, address);
    println!("memory with all that          {} MiB", service::resident_mib(&running));
    service::stop(&mut running);
    lists && longest < PROMISED_START
}

fn lists(folder: &Path, address: SocketAddr) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarantine-bridge"));
    command.current_dir(folder).args(["token", "create", "--name", "bench", "--scope", "actions:read"]);
    let token = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut slowest = Duration::ZERO;
    for query in [
        "",
        "?limit=200",
        "?state=succeeded",
        "?state=held",
        "?state=failed&source=soc",
        "?source=soc&cursor=500000",
        "?alert_id=3b9aca07-none",
        "?alert_id=3b9aca07-none&source=soc",
    ] {
        let mut times: Vec<Duration> =
            (0..200).map(|_| get(address, &format!("/v1/actions{query}"), token.trim())).collect();
        times.sort_unstable();
        println!("GET /v1/actions{query:<32} p50 {:>8.1?}  p99 {:>8.1?}", times[100], times[197]);
        slowest = slowest.max(times[197]);
    }
    println!("slowest list, p99             {slowest:.1?}, promised {PROMISED_LIST:?} at most");
    slowest < PROMISED_LIST
}

fn get(address: SocketAddr, path: &str, token: &str) -> Duration {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    begin.elapsed()
}

/// Deliveries a second with what is stored, against those with nothing stored, by turns.
fn accepts(path: &Path) -> bool {
    println!("{:>5} {:>12} {:>12} {:>6}", "round", "stored /s", "empty /s", "ratio");
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        let empty = post(open(&folder.path().join("empty.db")), round).per_second();
        let stored = post(open(path), round).per_second();
        println!("{round:>5} {stored:>12.0} {empty:>12.0} {:>6.2}", stored / empty);
        ratios.push(stored / empty);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    println!("median ratio                  {median:.2}, promised {PROMISED_RATIO}");
    median >= PROMISED_RATIO
}

fn post(store: Store, round: usize) -> Posted {
    inside::post_all(store, CONNECTIONS, load::requests_from(round * DELIVERIES, DELIVERIES))
}

/// What 99 of 100 answers take at most, while what is stored is deleted, against while nothing is, by turns.
fn accepts_while_pruned(path: &Path) -> bool {
    println!("{:>5} {:>12} {:>12} {:>6} {:>10}", "round", "pruned p99", "quiet p99", "ratio", "deleted");
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let quiet = post(open(path), ROUNDS + 2 * round).p99();
        let (pruned, deleted) = while_pruned(open(path), ROUNDS + 2 * round + 1);
        let ratio = pruned.p99().as_secs_f64() / quiet.as_secs_f64();
        println!("{round:>5} {:>12.1?} {quiet:>12.1?} {ratio:>6.2} {deleted:>10}", pruned.p99());
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    println!("median ratio                  {median:.2}, promised {PROMISED_SLOWDOWN} at most");
    median <= PROMISED_SLOWDOWN
}

/// Posts while a thread prunes; returns how that went and how many actions were deleted meanwhile.
fn while_pruned(store: Store, round: usize) -> (Posted, u64) {
    let (stop, stopped) = watch::channel(false);
    let (_changes, retention) = watch::channel(Retention::default());
    let metrics = Metrics::new();
    let pruner = Pruner::new(store.clone(), Clock::system(), metrics.clone(), retention);
    let pruning = thread::spawn(move || {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(pruner.run(stopped));
    });
    let posted = post(store, round);
    stop.send_replace(true);
    pruning.join().unwrap();
    let line = "quarantine_bridge_pruned_total{what=\"actions\"} ";
    let deleted = metrics.render().lines().find_map(|have| have.strip_prefix(line)?.parse().ok());
    (posted, deleted.unwrap_or(0))
}
