//! Signed deliveries, and connections that post them as fast as they are answered.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::{SigningKey, sign};
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The secret of the source `soc`.
pub const WHSEC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Length of every body.
pub const BODY_BYTES: usize = 2_048;

/// The key that signs.
pub fn key() -> SigningKey {
    SigningKey::from_whsec(&SecretString::from(WHSEC), None).unwrap()
}

/// Whole requests with signed bodies, each a new alert about a device of its own.
pub fn requests(count: usize) -> Vec<Vec<u8>> {
    requests_from(0, count)
}

/// As many, which differ from those before this number.
pub fn requests_from(first: usize, count: usize) -> Vec<Vec<u8>> {
    let (key, now) = (key(), Clock::system().now());
    (first..first + count).map(|n| request(&key, n, now)).collect()
}

fn request(key: &SigningKey, n: usize, now: Timestamp) -> Vec<u8> {
    let target = json!({"machine": {"id": format!("{:040x}", n + 1)}, "file": {"sha1": "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4"}});
    let alert = |filling: &str| {
        json!({"alert_id": format!("a{n}"), "severity": "high", "title": "Malware", "occurred_at": now.to_string(),
               "targets": [target], "details": filling})
        .to_string()
    };
    let body = alert(&"x".repeat(BODY_BYTES - alert("").len()));
    let id = format!("msg_{n}");
    let signature = sign(key, &id.parse().unwrap(), now, body.as_bytes());
    let seconds = now.as_second();
    format!(
        "POST /v1/hooks/soc HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {BODY_BYTES}\r\n\
         webhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signature}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Posts all requests over so many connections. Every answer must be 202. Returns how long it took, and how long each answer
/// took, the fastest first.
pub async fn post_all(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
) -> (Duration, Vec<Duration>) {
    let mut shares: Vec<Vec<Vec<u8>>> = vec![Vec::new(); connections];
    for (n, request) in requests.into_iter().enumerate() {
        shares[n % connections].push(request);
    }
    let mut streams = Vec::new();
    for share in shares {
        streams.push((TcpStream::connect(address).await.unwrap(), share));
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (stream, share) in streams {
        tasks.spawn(post(stream, share));
    }
    let mut answers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        answers.extend(done.unwrap());
    }
    let took = begin.elapsed();
    answers.sort_unstable();
    (took, answers)
}

async fn post(mut stream: TcpStream, requests: Vec<Vec<u8>>) -> Vec<Duration> {
    let mut answers = Vec::with_capacity(requests.len());
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 8 * 1024];
    for request in requests {
        let begin = Instant::now();
        stream.write_all(&request).await.unwrap();
        let mut read = 0;
        while !is_whole(&buffer[..read]) {
            let more = stream.read(&mut buffer[read..]).await.unwrap();
            assert!(more > 0, "the connection was closed");
            read += more;
        }
        let answer = String::from_utf8_lossy(&buffer[..read]);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        answers.push(begin.elapsed());
    }
    answers
}

/// Says whether an answer has come with its whole body.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    answer.len() >= head + 4 + length.unwrap_or(0_usize)
}
