//! How long others wait while 1,000 connections stall: in heads, in bodies, or without taking their answers.
//!
//! `cargo bench --bench slow`, on Linux. Whenever one is ended, another takes its place. Fails above what is promised.
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

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const STALLED: usize = 1_000;
const PROBES: usize = 2_000;
const PROMISED: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let address = service::free_address();
    service::configure(folder.path(), address);
    let mut running = service::start(folder.path(), address);
    // Those who stall have a thread of their own, so that those who measure wait for the service alone.
    let clients = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (live, accepted) = clients.block_on(async {
        let mut stalled = JoinSet::new();
        for n in 0..STALLED {
            stalled.spawn(stall(n, address));
        }
        sleep(Duration::from_secs(2)).await;
        measure(address).await
    });
    let memory = service::resident_mib(&running);
    service::stop(&mut running);

    println!("{STALLED} stalled connections, {PROBES} probes");
    let kept = report("/livez", live);
    report("a delivery, on disk", accepted);
    println!("memory                      {memory} MiB");
    println!("promised                    {PROMISED:?} for /livez at p99, and every delivery accepted");
    if kept < PROMISED { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks and delivers, each over a connection of its own.
async fn measure(address: SocketAddr) -> (Vec<Duration>, Vec<Duration>) {
    let alive = b"GET /livez HTTP/1.1\r\nhost: bench\r\n\r\n";
    let (mut live, mut accepted) = (Vec::new(), Vec::new());
    for (n, delivery) in load::requests(PROBES).into_iter().enumerate() {
        live.push(ask(address, alive).await);
        if n % 10 == 0 {
            accepted.push(load::post_all(address, 1, vec![delivery]).await.0);
        }
        sleep(Duration::from_millis(5)).await;
    }
    (live, accepted)
}

async fn ask(address: SocketAddr, request: &[u8]) -> Duration {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).await.unwrap();
    let took = begin.elapsed();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..count]));
    took
}

/// Prints the times; returns the one that 99 of 100 keep below.
fn report(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |per_cent: usize| times[(times.len() * per_cent / 100).min(times.len() - 1)];
    let (p50, p99, max) = (at(50), at(99), at(100));
    println!("{what:<27} p50 {p50:.2?}, p99 {p99:.2?}, longest {max:.2?}");
    p99
}

/// Stalls in one of four ways, again and again.
async fn stall(n: usize, address: SocketAddr) {
    let head = "POST /v1/hooks/soc HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let alive = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let begin = match n % 4 {
        0 => "GET /livez HTTP/1.1\r\nho".to_owned(),
        1 => format!("{alive}GET /livez HTTP/1.1\r\nho"),
        2 => format!("{head}content-length: 200000\r\n\r\n{}", " ".repeat(30_000)),
        // Takes no answer, and has little room for one.
        _ => alive.repeat(200),
    };
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2_048).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        drop(stream.write_all(begin.as_bytes()).await);
        if n % 4 == 3 {
            // It is told by a write that fails, for it does not read.
            while stream.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(500)).await;
            }
        } else {
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    }
}
