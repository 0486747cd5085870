//! Memory at rest and time to start, with 10,000 actions stored.
//!
//! `cargo bench --bench footprint`, on Linux. Fails above what is promised.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark that cannot go on stops"
)]

mod load;
mod service;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

const ACTIONS: usize = 10_000;
const PROMISED_MIB: usize = 64;
const PROMISED_START: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let address = service::free_address();
    service::configure(folder.path(), address);

    let mut running = service::start(folder.path(), address);
    let client = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    client.block_on(load::post_all(address, 64, load::requests(ACTIONS)));
    wait_until_looked_at(folder.path());
    let after_load = service::resident_mib(&running);
    service::stop(&mut running);

    let begin = Instant::now();
    let mut running = service::start(folder.path(), address);
    let start = begin.elapsed();
    let at_rest = service::resident_mib(&running);
    service::stop(&mut running);

    println!("{ACTIONS} actions stored");
    println!("memory after they came in   {after_load} MiB");
    println!("memory after a restart      {at_rest} MiB, promised {PROMISED_MIB} MiB at most, both times");
    println!("start to ready              {start:.2?}, promised {PROMISED_START:?} at most");
    let kept = after_load.max(at_rest) < PROMISED_MIB && start < PROMISED_START;
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// There is no Defender to learn facts from, so that each stays unfinished: the most that so many actions can weigh.
fn wait_until_looked_at(folder: &Path) {
    let db = rusqlite::Connection::open(folder.join("bridge.db")).unwrap();
    let looked_at = || {
        let sql = "SELECT count(*) FROM actions WHERE state <> 'accepted'";
        db.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    while usize::try_from(looked_at()).unwrap() < ACTIONS {
        std::thread::sleep(Duration::from_millis(50));
    }
}
