//! Connections that stall, that hide one request behind another, or that are too many.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::Bridge;
use crate::harness::binary::Installation;
use crate::harness::installed::Installed;
use crate::harness::wire::{ELSEWHERE, HERE, ask, connect, delivery, get, status};

const NOWHERE: &str = "http://127.0.0.1:9";

/// A head of a delivery, to be followed by what a test wants.
const HEAD: &str = "POST /v1/hooks/soc HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

/// The clients' half of many connections is in this process; the service raises its own limit.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

async fn bridge(server: &str) -> Installed {
    let installation = Installation::new(NOWHERE, "");
    installation.edit("[store]", &format!("{server}\n[store]"));
    Installed::start(installation).await
}

#[tokio::test]
async fn a_request_whose_end_is_in_doubt_is_refused_and_nothing_after_it_is_read() {
    let bridge = bridge("").await;
    let next = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let cases = [
        format!("{HEAD}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}content-length: 2\r\ncontent-length: 2\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: 2\r\ncontent-length: 37\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: 2, 2\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: +2\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: -2\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: 0x2\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: 2 2\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length: 99999999999999999999\r\n\r\n{{}}{next}"),
        format!("{HEAD}content-length : 2\r\n\r\n{{}}{next}"),
        format!("{HEAD}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: identity\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n{next}"),
        format!(
            "{}\r\n0\r\n\r\n{next}",
            HEAD.replace("HTTP/1.1\r\n", "HTTP/1.0\r\ntransfer-encoding: chunked\r\n")
        ),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\nx\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n2;a\u{1}b\r\n{{}}\r\n0\r\n\r\n{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{{}}{next}"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n-2\r\n{{}}\r\n0\r\n\r\n{next}"),
        format!("{HEAD} content-length: 2\r\n\r\n{{}}{next}"),
        format!("{HEAD}host: y\r\ncontent-length: 2\r\n\r\n{{}}{next}"),
        format!("POST /v1/hooks/soc HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}{next}"),
        format!("{}content-length: 2\r\n\r\n{{}}{next}", HEAD.replace("HTTP/1.1", "HTTP/1.2")),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{next}"),
    ];
    for request in cases {
        let answer = ask(HERE, bridge.address, request.as_bytes()).await;
        let status = status(&answer);
        // A body that goes wrong is not believed, or breaks off.
        assert!(matches!(status, 400 | 401 | 408), "{status} for {request:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}: {answer}");
        assert!(!answer.contains("\"live\""), "{request:?}");
    }
}

/// The framework does not tell them from a body that breaks off, so the answer names both.
#[tokio::test]
async fn chunks_that_are_none_are_refused_as_such() {
    let bridge = bridge("").await;
    for chunks in ["x\r\n", "ffffffffffffffffff\r\n", "-2\r\n{}\r\n0\r\n\r\n", "2\r\n{}x\r\n0\r\n\r\n"] {
        let request = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunks}");
        let answer = ask(HERE, bridge.address, request.as_bytes()).await;
        assert_eq!(status(&answer), 408, "{request:?}: {answer}");
        assert!(answer.contains("not those of HTTP"), "{answer}");
    }
}

#[tokio::test]
async fn requests_that_are_sent_at_once_are_answered_one_after_the_other() {
    let bridge = bridge("").await;
    let open = |request: Vec<u8>| String::from_utf8(request).unwrap().replace("connection: close\r\n", "");
    let (one, two) = (open(delivery("soc", "msg_1", &[])), open(delivery("soc", "msg_2", &[])));
    let live = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);
    let bare = "GET /livez HTTP/1.1\nhost: x\n\n";
    let end = String::from_utf8(get("/livez")).unwrap();
    let all = format!("{one}{live}\r\n{two}{bare}{bare}{one}\r\n\r\n{end}");
    let chunked = {
        let whole = String::from_utf8(delivery("soc", "msg_3", &[])).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let head = head.replace("content-length: ", "x-length: ");
        let (a, b) = body.split_at(20);
        let length = b.len();
        format!(
            "{head}\r\ntransfer-encoding: chunked\r\n\r\n14;x=y\r\n{a}\r\n{length:x}\r\n{b}\r\n0\r\nt: u\r\n\r\n"
        )
    };

    let mut first = 202;
    for piece in [all.len(), 1, 7, 300] {
        let wanted = [&[first][..], &[200; 40], &[first, 200, 200, 200, 200]].concat();
        assert_eq!(in_pieces(&bridge, &all, piece).await, wanted, "in pieces of {piece}");
        assert_eq!(in_pieces(&bridge, &chunked, piece).await, [first], "in pieces of {piece}");
        first = 200;
    }
}

/// Sends requests in pieces of so many bytes; returns the statuses of the answers.
async fn in_pieces(bridge: &Installed, requests: &str, piece: usize) -> Vec<u16> {
    let mut stream = connect(HERE, bridge.address).await;
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        for part in requests.as_bytes().chunks(piece) {
            writer.write_all(part).await.unwrap();
        }
    };
    let mut answers = String::new();
    let (read, ()) = tokio::join!(reader.read_to_string(&mut answers), write);
    read.unwrap();
    answers.match_indices("HTTP/1.1 ").map(|(place, _)| status(&answers[place..])).collect()
}

#[tokio::test]
async fn methods_that_are_not_there_are_refused() {
    let bridge = Bridge::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for method in ["TRACE", "TRACK", "OPTIONS", "PATCH", "PROPFIND", "HEAD", "get", "CONNECT_"] {
        for path in ["/livez", "/v1/hooks/soc"] {
            let request = client.request(method.parse().unwrap(), bridge.url(path));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert!(answer.headers().contains_key("allow"));
        }
    }
    let connect = b"CONNECT /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = ask(HERE, bridge.address(), connect).await;
    assert_eq!(status(&answer), 405, "{answer}");
    let trace = b"TRACE /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-secret: canary\r\n\r\n";
    assert!(!ask(HERE, bridge.address(), trace).await.contains("canary"));
}

/// Reads until the connection ends; fails if it does not end soon.
async fn until_it_ends(mut stream: TcpStream, what: &str) -> String {
    let mut answer = Vec::new();
    // One that is cut off with bytes on their way ends with a reset.
    let end = timeout(Duration::from_secs(40), stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "{what} was never ended");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Begins with these bytes and then sends a little now and then, without end.
async fn dribble(to: SocketAddr, begin: &str, drop: &[u8]) -> String {
    let (mut reader, mut writer) = connect(HERE, to).await.into_split();
    writer.write_all(begin.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    let end = timeout(Duration::from_secs(40), async {
        loop {
            tokio::select! {
                read = reader.read_buf(&mut answer) => if read.is_err() || read.is_ok_and(|count| count == 0) { return; },
                _ = ticks.tick() => if writer.write_all(drop).await.is_err() { return; },
            }
        }
    });
    assert!(end.await.is_ok(), "{begin:?} may go on for ever");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_stalls_or_dribbles_is_ended() {
    let bridge = bridge("").await;
    let to = bridge.address;
    let stall = async |begin: &str| {
        let mut stream = connect(HERE, to).await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        until_it_ends(stream, begin).await
    };
    let alive = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let second = format!("{alive}GET /livez HTTP/1.1\r\nho");
    let body = format!("{HEAD}content-length: 100\r\n\r\n{{");
    let chunks = format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\n{{");
    let expecting = format!("{HEAD}expect: 100-continue\r\ncontent-length: 100\r\n\r\n");
    let refused = "POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{";
    let tail = format!("{HEAD}transfer-encoding: chunked\r\n\r\n0\r\nx: ");
    let extension = format!("{HEAD}transfer-encoding: chunked\r\n\r\n5;x=");
    let answers = tokio::join!(
        stall(""),
        stall("GET /livez HTTP/1.1\r\nho"),
        stall(&second),
        stall(alive),
        stall(&body),
        stall(&chunks),
        stall(&expecting),
        stall(refused),
        dribble(to, "GET /livez HTTP/1.1\r\n", b"x: y\r\n"),
        dribble(to, &second, b"x: y\r\nx"),
        dribble(to, &body, b"x"),
        dribble(to, refused, b"x"),
        dribble(to, &tail, b"x"),
        dribble(to, &extension, b"x"),
    );
    assert_eq!(status(&answers.1), 408);
    assert_eq!(status(&answers.2), 200);
    assert_eq!(answers.2.matches("HTTP/1.1").count(), 1);
    assert_eq!(status(&answers.3), 200);
    assert_eq!(status(&answers.4), 408);
    assert_eq!(status(&answers.5), 408);
    assert!(answers.6.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408"), "{}", answers.6);
    assert_eq!((status(&answers.7), status(&answers.11)), (404, 404));
    assert_eq!(status(&answers.10), 408);
    assert_eq!(status(&answers.12), 408);
    assert_eq!(status(&answers.13), 408);
}

#[tokio::test]
async fn endless_heads_and_chunk_extensions_are_cut_off() {
    let bridge = bridge("").await;
    let begins = [
        "GET /livez HTTP/1.1\r\nx: ".to_owned(),
        "GET /".to_owned(),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n5;x="),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n0\r\nx: "),
        "POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n".to_owned(),
    ];
    let cut = begins.map(async |begin| {
        let (mut reader, mut writer) = connect(HERE, bridge.address).await.into_split();
        writer.write_all(begin.as_bytes()).await.unwrap();
        let mut sent = 0_usize;
        let mut answer = Vec::new();
        let flood = async {
            while writer.write_all(&[b'x'; 4096]).await.is_ok() {
                sent += 4096;
            }
        };
        let ended = timeout(Duration::from_secs(40), async {
            tokio::join!(flood, async { drop(reader.read_to_end(&mut answer).await) })
        });
        assert!(ended.await.is_ok(), "{begin:?} may go on for ever");
        (begin, sent)
    });
    for (begin, sent) in futures_util::future::join_all(cut).await {
        // What the kernel takes on both sides is beyond what the service reads.
        eprintln!("{begin:?} was cut off after {sent} bytes");
    }
    let answer = ask(HERE, bridge.address, &get("/livez")).await;
    assert_eq!(status(&answer), 200);
}

#[tokio::test]
async fn who_takes_no_answers_is_ended_and_asks_no_more() {
    let bridge = bridge("").await;
    let stream = connect(HERE, bridge.address).await;
    let (reader, mut writer) = stream.into_split();
    let questions = "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    let asking = async {
        let mut sent = 0;
        while writer.write_all(questions.as_bytes()).await.is_ok() {
            sent += questions.len();
        }
        sent
    };
    let sent = timeout(Duration::from_mins(1), asking).await.expect("it may go on for ever");
    eprintln!("ended after {sent} bytes of questions");
    drop(reader);
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more_and_trusted_proxies_all() {
    let plain = bridge("connections_per_address = 3").await;
    let proxied = bridge("connections_per_address = 3\nbehind_proxy = true").await;
    for (bridge, from, is_limited) in [
        (&plain, HERE, true),
        (&plain, ELSEWHERE, true),
        (&proxied, HERE, false),
        (&proxied, ELSEWHERE, true),
    ] {
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut stream = connect(from, bridge.address).await;
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut [0; 1000]).await.unwrap() > 0);
            open.push(stream);
        }
        let mut fourth = connect(from, bridge.address).await;
        fourth.write_all(&get("/livez")).await.unwrap();
        let mut answer = Vec::new();
        let read = fourth.read_to_end(&mut answer).await;
        let is_served = read.is_ok() && answer.starts_with(b"HTTP/1.1 200");
        assert_eq!(is_served, !is_limited, "from {from}");

        // A place that is given up is another's.
        drop(open);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let mut stream = connect(from, bridge.address).await;
            drop(stream.write_all(&get("/livez")).await);
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            if answer.starts_with(b"HTTP/1.1 200") {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "no place came free");
        }
    }
    let line = "quarantine_bridge_connections_refused_total{reason=\"address\"}";
    assert!(plain.metric(line) >= Some(2.0));
}

#[tokio::test]
async fn long_bodies_that_are_sent_slowly_share_a_bound_and_short_deliveries_need_none_of_it() {
    allow_open_files();
    let bridge = bridge("").await;
    // 64 MiB of shares, each body with its first 32 KiB free: about 300 of them.
    let long = format!("{HEAD}content-length: 262144\r\n\r\n{}", " ".repeat(250_000));
    let mut slow = Vec::new();
    for _ in 0..400 {
        let mut stream = connect(HERE, bridge.address).await;
        // One that is refused at once may be cut off while it writes.
        drop(stream.write_all(long.as_bytes()).await);
        slow.push(stream);
    }
    let taken = ask(HERE, bridge.address, &delivery("soc", "msg_1", &[])).await;
    assert_eq!(status(&taken), 202);

    let mut refused = 0;
    for mut stream in slow {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        // Those that got a share were too slow.
        if !answer.starts_with(b"HTTP/1.1 408") {
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503"));
            refused += 1;
        }
    }
    assert!((50..200).contains(&refused), "{refused} of 400 were refused");
    let long = " ".repeat(200_000);
    let request = format!("{HEAD}connection: close\r\ncontent-length: 200000\r\n\r\n{long}");
    let answer = ask(HERE, bridge.address, request.as_bytes()).await;
    assert_eq!(status(&answer), 401, "the shares were not given back");
}

#[tokio::test]
async fn a_thousand_stalled_connections_keep_nobody_out() {
    allow_open_files();
    let installation = Installation::new(NOWHERE, "");
    let _serving = installation.serve();
    installation.wait_until_ready().await;
    let to: SocketAddr = ([127, 0, 0, 1], installation.port).into();
    let questions = "GET /v1/actions HTTP/1.1\r\nhost: x\r\n\r\n".repeat(30);
    let body = format!("{HEAD}content-length: 200000\r\n\r\n{}", " ".repeat(40_000));
    let mut stalled = Vec::new();
    for n in 0..1_000 {
        let mut stream = connect(HERE, to).await;
        let begin = match n % 3 {
            0 => "GET /livez HTTP/1.1\r\nho",
            1 => &body,
            _ => &questions,
        };
        stream.write_all(begin.as_bytes()).await.unwrap();
        stalled.push(stream);
    }

    for n in 0..30 {
        let answer = ask(HERE, to, &get("/livez")).await;
        assert_eq!(status(&answer), 200);
        let answer = ask(HERE, to, &delivery("soc", &format!("msg_{n}"), &[])).await;
        assert_eq!(status(&answer), 202);
    }
    drop(stalled);
}
