//! The real binary as a relay, and a stand-in for a bridge that answers as a test wants.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use jiff::Timestamp;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::spool::{Place, Spool, entries};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::binary::{Installation, Serving, command};
use super::{SHA1, poll};

/// A relay that runs beside an installation, with its spool and its log in the same folder.
pub(crate) struct Relay {
    pub(crate) serving: Serving,
    url: String,
    client: Client,
}

impl Relay {
    /// Starts one that forwards to the installation's source.
    pub(crate) async fn start(installation: &Installation, more: &[&str]) -> Self {
        Self::start_to(installation, &installation.url("/v1/hooks/soc"), more).await
    }

    pub(crate) async fn start_to(installation: &Installation, to: &str, more: &[&str]) -> Self {
        let mut relay = command(&arguments(to));
        relay.args(more);
        Self::start_command(installation, relay).await
    }

    /// Starts one that can write no file larger than 64 KiB, as if the disk were full beyond.
    pub(crate) async fn start_with_little_disk(installation: &Installation) -> Self {
        let mut relay = Command::new("bash");
        relay.args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_quarantine-bridge"),
        ]);
        relay.args(arguments(&installation.url("/v1/hooks/soc"))).stdin(Stdio::null());
        Self::start_command(installation, relay).await
    }

    async fn start_command(installation: &Installation, relay: Command) -> Self {
        let before = log_lines(installation).len();
        let serving = installation.start(relay, "relay.log");
        let mut address = None;
        poll("the relay to listen", || {
            let lines = log_lines(installation);
            let line = lines.iter().skip(before).find(|line| line["message"] == "listening");
            address = line.map(|line| line["address"].as_str().unwrap().to_owned());
            address.is_some()
        })
        .await;
        let client = Client::builder().no_proxy().build().unwrap();
        Self { serving, url: format!("http://{}", address.unwrap()), client }
    }

    /// A request as a tool with static headers makes it.
    pub(crate) fn request(&self, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.client.post(&self.url).header("content-type", "text/plain").body(body.into())
    }

    pub(crate) async fn post(&self, body: impl Into<Vec<u8>>) -> u16 {
        self.request(body).send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }
}

fn arguments(to: &str) -> [&str; 9] {
    ["relay", "--listen", "127.0.0.1:0", "--to", to, "--secret-file", "soc-secret", "--spool", "spool"]
}

/// The JSON of an answer.
pub(crate) async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// The relay's log, a JSON object a line, but for lines that a kill has torn.
pub(crate) fn log_lines(installation: &Installation) -> Vec<Value> {
    let text = fs::read_to_string(installation.path("relay.log")).unwrap_or_default();
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    let sound = whole.lines().filter(|line| !line.ends_with(" (torn)"));
    sound.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `spool list` says.
pub(crate) fn spool_list(installation: &Installation) -> Value {
    let output = installation.run(&["spool", "list", "spool", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many files are in waiting, dead and rejected.
pub(crate) fn counts(installation: &Installation) -> [usize; 3] {
    let entries = entries(&Spool::existing(&installation.path("spool")).unwrap()).unwrap();
    Place::ALL.map(|place| entries.iter().filter(|entry| entry.place == place).count())
}

pub(crate) async fn wait_for_counts(installation: &Installation, wanted: [usize; 3]) {
    let what = format!("{wanted:?} in the spool");
    poll(&what, || counts(installation) == wanted).await;
}

/// An alert in our own form that has just happened, about a device of its own.
pub(crate) fn alert(number: usize) -> String {
    let target = json!({"machine": format!("{number:040x}"), "file": SHA1});
    let now = Clock::system().now();
    json!({"alert_id": format!("alert-{number}"), "severity": "high", "targets": [target],
           "occurred_at": now.to_string()})
    .to_string()
}

/// One try as the stand-in saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) signed_at: i64,
    pub(crate) signature: String,
    pub(crate) body: String,
    pub(crate) at: Timestamp,
}

/// What the stand-in answers to a body, by the number of earlier tries of that body.
type Script = fn(&str, usize) -> HttpResponse;

/// A stand-in for a bridge, whose answers a test writes.
pub(crate) struct StandIn {
    pub(crate) url: String,
    seen: watch::Sender<Vec<Seen>>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    pub(crate) fn start(script: Script) -> Self {
        let (seen, _) = watch::channel(Vec::new());
        let shared = web::Data::new(seen.clone());
        let app = move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::Data::new(script))
                .default_service(web::to(answer))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/hooks/soc", server.addrs()[0]);
        let mut tasks = JoinSet::new();
        let server = server.run();
        tasks.spawn(async move { server.await.unwrap() });
        Self { url, seen, _tasks: tasks }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// How often each body was tried.
    pub(crate) fn tries(&self) -> BTreeMap<String, usize> {
        let mut tries = BTreeMap::new();
        for seen in self.seen() {
            *tries.entry(seen.body).or_default() += 1;
        }
        tries
    }
}

async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    seen: web::Data<watch::Sender<Vec<Seen>>>,
    script: web::Data<Script>,
) -> HttpResponse {
    let header = |name| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let tries = seen.borrow().iter().filter(|seen| seen.body == body).count();
    let now = Seen {
        id: header("webhook-id"),
        signed_at: header("webhook-timestamp").parse().unwrap(),
        signature: header("webhook-signature"),
        body: body.clone(),
        at: Clock::system().now(),
    };
    seen.send_modify(|seen| seen.push(now));
    script(&body, tries)
}

/// The answer by which a relay knows that a bridge has taken a delivery.
pub(crate) fn taken() -> HttpResponse {
    HttpResponse::Accepted().json(json!({"delivery_id": "d1"}))
}

/// A stand-in that speaks TLS with a certificate of an authority of its own, and takes everything.
pub(crate) struct TlsStandIn {
    pub(crate) url: String,
    /// The authority's certificate, in PEM form.
    pub(crate) authority: String,
    _tasks: JoinSet<()>,
}

impl TlsStandIn {
    pub(crate) async fn start() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let chain = vec![server.signed_by(&server_key, &issuer).unwrap().der().clone()];
        let key = PrivatePkcs8KeyDer::from(server_key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/v1/hooks/soc", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate hangs up.
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    read_request(&mut stream).await;
                    say_taken(stream).await;
                }
            }
        });
        Self { url, authority: authority_pem, _tasks: tasks }
    }
}

/// Reads a request whose body ends with a brace.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request broke off");
    }
}

/// Answers as a bridge does that has taken a delivery.
async fn say_taken(mut stream: impl AsyncWrite + Unpin) {
    let answer =
        b"HTTP/1.1 202 Accepted\r\ncontent-length: 20\r\nconnection: close\r\n\r\n{\"delivery_id\":\"d1\"}";
    stream.write_all(answer).await.unwrap();
    drop(stream.shutdown().await);
}

/// A stand-in that takes one delivery, and answers when it is told to.
pub(crate) struct SlowStandIn {
    pub(crate) url: String,
    listener: TcpListener,
}

impl SlowStandIn {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}/v1/hooks/soc", listener.local_addr().unwrap()), listener }
    }

    /// Waits for a delivery; it is answered by [`Asked::take`].
    pub(crate) async fn asked(&self) -> Asked {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        read_request(&mut stream).await;
        Asked(stream)
    }
}

/// A delivery that has not been answered yet.
pub(crate) struct Asked(TcpStream);

impl Asked {
    pub(crate) async fn take(self) {
        say_taken(self.0).await;
    }
}
