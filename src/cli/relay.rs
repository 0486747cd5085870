//! `relay`: takes deliveries on loopback, keeps them on disk, signs them, and brings them to the bridge.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::HeaderName;
use anyhow::Context as _;
use clap::Args as ClapArgs;
use jiff::SignedDuration;
use reqwest::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::{runtime, time};
use tracing::level_filters::LevelFilter;
use url::Url;

use crate::clock::Clock;
use crate::config::{parse_duration, read_secret_file};
use crate::ingest::SigningKey;
use crate::outgoing::is_loopback;
use crate::relay::{Courier, Forwarder, ListenError, Options, Parts, RequiredHeader, client, listen};
use crate::spool::{Intake, Limits, Spool};
use crate::telemetry::{LogFormat, start_logs};

use super::exit::{CONFIG, Failure, IO_ERROR};
use super::serve::{NO_LOGS, to_the_end};
use super::sign::KeyFile;

/// How many arrivals may be announced before the forwarder has looked.
const ARRIVALS: usize = 1024;

/// How long the try under way may take when the relay stops; a try has 30 s.
const DRAIN: Duration = Duration::from_secs(35);

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// Where to listen; loopback addresses only.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8422")]
    listen: SocketAddr,
    /// Address of the source.
    #[arg(
        long,
        value_name = "URL",
        help = "Address of the source, such as https://bridge.example/v1/hooks/soc"
    )]
    to: Url,
    #[command(flatten)]
    key: KeyFile,
    /// Folder that keeps what the bridge has not taken yet; one for each destination.
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,
    #[command(flatten)]
    bounds: Bounds,
    /// A header that senders must have.
    #[arg(long, value_name = "NAME", requires = "header_file")]
    require_header: Option<HeaderName>,
    /// File with the value of that header.
    #[arg(long, value_name = "FILE", requires = "require_header")]
    header_file: Option<PathBuf>,
}

/// How much a spool keeps, for how long, and whom it trusts.
#[derive(Debug, ClapArgs)]
pub(super) struct Bounds {
    /// How long a delivery is tried before it is given up as dead.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration, requires = "spool")]
    keep: SignedDuration,
    /// How many deliveries the spool may keep.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, requires = "spool")]
    max_deliveries: u64,
    /// How many MiB the spool may keep.
    #[arg(long, value_name = "MIB", default_value_t = 512, requires = "spool")]
    max_mib: u64,
    /// File with certificates of authorities, in PEM form, to trust for the bridge instead of the public ones.
    #[arg(long, value_name = "FILE", requires = "spool")]
    ca_file: Option<PathBuf>,
}

/// What it takes to go to an address.
#[derive(Debug)]
pub(super) struct Way {
    client: Client,
    key: SigningKey,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    parse_duration(text).ok_or_else(|| "write a number with s, m, h or d, such as 7d".to_owned())
}

impl Bounds {
    pub(super) fn limits(&self) -> Limits {
        Limits { deliveries: self.max_deliveries, bytes: self.max_mib.saturating_mul(1024 * 1024) }
    }

    /// Reads what it takes to go to an address: whom to trust there, and what to sign with.
    pub(super) fn way(&self, to: &Url, key: &KeyFile) -> anyhow::Result<Way> {
        let read =
            |path: &PathBuf| fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
        let wrong = |error: anyhow::Error| Failure { code: CONFIG, text: format!("{error:#}") };
        let authorities = self.ca_file.as_ref().map(read).transpose().map_err(wrong)?;
        let client = client(to, authorities.as_deref()).map_err(|error| wrong(error.into()))?;
        Ok(Way { client, key: key.read().map_err(wrong)? })
    }

    /// Makes what brings deliveries from a spool to an address.
    pub(super) fn courier(&self, spool: Spool, to: &Url, Way { client, key }: Way) -> Courier {
        Courier { spool, to: to.clone(), client, key, keep: self.keep, clock: Clock::system() }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let _logs = start_logs(LogFormat::Json, LevelFilter::INFO).context(NO_LOGS)?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    to_the_end(runtime.context("the runtime cannot be started")?, relay(arguments))
}

async fn relay(arguments: &Arguments) -> anyhow::Result<()> {
    // A wrong address must not be the one that the spool is for.
    let options = Options { listen: arguments.listen, required: arguments.required()? };
    let way = arguments.bounds.way(&arguments.to, &arguments.key)?;
    let spool = Spool::open(&arguments.spool, arguments.to.as_str()).map_err(Failure::from)?;
    let courier = arguments.bounds.courier(spool.clone(), &arguments.to, way);
    let (arrivals, arrived) = mpsc::channel(ARRIVALS);
    let forwarder = Forwarder::new(courier, arrived).map_err(Failure::from)?;
    let intake = Intake::new(spool.clone(), arguments.bounds.limits());
    let parts = Parts { spool, intake, arrivals, clock: Clock::system() };
    let (address, server) = listen(options, parts).map_err(listen_failure)?;
    let handle = server.handle();
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(forwarder.run(stopped));
    tasks.spawn(async move { drop(server.await) });
    announce(arguments, address);
    until_told(&mut tasks).await?;
    end(handle, &stop, tasks).await;
    Ok(())
}

fn listen_failure(error: ListenError) -> anyhow::Error {
    match error {
        ListenError::NotLoopback(_) => Failure { code: CONFIG, text: error.to_string() }.into(),
        ListenError::Bind { .. } => error.into(),
    }
}

fn announce(arguments: &Arguments, address: SocketAddr) {
    let (to, spool) = (&arguments.to, arguments.spool.display());
    tracing::info!(%address, %to, %spool, version = env!("CARGO_PKG_VERSION"), "listening");
    arguments.warnings().for_each(warn);
}

fn warn(text: &str) {
    tracing::warn!("{text}");
}

impl Arguments {
    fn warnings(&self) -> impl Iterator<Item = &'static str> {
        let is_open = self.to.scheme() == "http" && !is_loopback(&self.to);
        let open = "alerts go over the network in plain text: use an https address";
        let anybody = "any process of this machine can have an alert signed: see --require-header";
        let anybody = self.require_header.is_none().then_some(anybody);
        is_open.then_some(open).into_iter().chain(anybody)
    }

    fn required(&self) -> anyhow::Result<Option<RequiredHeader>> {
        let (Some(name), Some(file)) = (&self.require_header, &self.header_file) else {
            return Ok(None);
        };
        let value = read_secret_file(file)
            .map_err(|why| Failure { code: CONFIG, text: format!("{}: {why}", file.display()) })?;
        Ok(Some(RequiredHeader { name: name.clone(), value }))
    }
}

/// Waits for a signal. A part that ends by itself is a failure.
async fn until_told(tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = tasks.join_next() => {
            let text = "the relay stopped because a part of it failed; see the log".to_owned();
            return Err(Failure { code: IO_ERROR, text }.into());
        }
    }
    tracing::info!("stopping: no new deliveries, the try under way is finished");
    Ok(())
}

async fn end(server: ServerHandle, stop: &watch::Sender<bool>, mut tasks: JoinSet<()>) {
    stop.send_replace(true);
    server.stop(true).await;
    let all = async { while tasks.join_next().await.is_some() {} };
    if time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("the try under way did not end in time; it is made again at the next start");
    }
}
