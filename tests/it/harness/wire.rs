//! Requests byte by byte, from any loopback address, in plain or in TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::sign;
use rustls::ClientConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{MACHINE, SHA1, key};

/// This machine as most know it.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The same machine under another address.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The name that the bridge's certificates are for.
pub(crate) const NAME: &str = "bridge.test";

/// Opens a connection from one of this machine's addresses.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends bytes in plain and returns all that comes back until the connection ends.
pub(crate) async fn ask(from: Ipv4Addr, to: SocketAddr, request: &[u8]) -> String {
    exchange(connect(from, to).await, request).await.unwrap()
}

/// Sends bytes in TLS; fails if the handshake does, also where that is told only afterwards.
pub(crate) async fn ask_in_tls(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    request: &[u8],
) -> io::Result<String> {
    ask_in_tls_from(HERE, config, to, request).await
}

/// The same from another of this machine's addresses.
pub(crate) async fn ask_in_tls_from(
    from: Ipv4Addr,
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    request: &[u8],
) -> io::Result<String> {
    let stream = connect(from, to).await;
    let name = NAME.try_into().unwrap();
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    exchange(stream, request).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> io::Result<String> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    // What hangs has failed.
    timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("an answer in time")?;
    Ok(String::from_utf8(answer).unwrap())
}

/// The status of an answer.
#[track_caller]
pub(crate) fn status(answer: &str) -> u16 {
    let line = answer.lines().next().unwrap_or_default();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// A request that ends its connection.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n").into_bytes()
}

/// A delivery to a source, signed by the harness' key, of an alert with this id; with more headers.
pub(crate) fn delivery(source: &str, id: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let now = Clock::system().now();
    let target = json!({"machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let alert = json!({"alert_id": id, "severity": "high", "title": "test", "occurred_at": now.to_string(), "targets": [target]});
    let body = alert.to_string();
    let signature = sign(&key(), &id.parse().unwrap(), now, body.as_bytes());
    let more: Vec<String> = more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let more = more.concat();
    let length = body.len();
    let seconds = now.as_second();
    format!(
        "POST /v1/hooks/{source} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nwebhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\n\
         webhook-signature: {signature}\r\n{more}\r\n{body}"
    )
    .into_bytes()
}
