//! Reads the configuration: one TOML file and the secret files that it names, all complaints at once.

mod auth;
mod complaint;
mod defender;
mod duration;
mod graph;
mod hmac;
mod jwt;
mod reader;
mod resolve;
mod secret;
mod sources;

use std::net::SocketAddr;
use std::path::Path;

use jiff::SignedDuration;
use tracing::level_filters::LevelFilter;

use crate::defender::Options as DefenderOptions;
use crate::dispatch::{self, Settle};
use crate::graph::Options as GraphOptions;
use crate::microsoft::is_loopback;
use crate::telemetry::LogFormat;
use crate::{http, store};

pub use complaint::{Complaint, Complaints};
pub use duration::parse as parse_duration;
pub use secret::{SecretError, read_file as read_secret_file};

use graph::Graph;
use reader::{Document, Section};

/// Where the service listens if the configuration does not say.
const LISTEN: &str = "127.0.0.1:8420";

/// The whole configuration, as each module's own options.
#[derive(Debug)]
pub struct Config {
    /// Where to listen, and to whom.
    pub http: http::Options,
    /// Where the store lives.
    pub store: store::Options,
    /// How to reach Defender.
    pub defender: DefenderOptions,
    /// How to reach Microsoft Graph, if alerts are fetched there.
    pub graph: Option<GraphOptions>,
    /// How dispatch behaves, each source's policy included.
    pub dispatch: dispatch::Options,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_level: LevelFilter,
    /// What may be meant so and should be known.
    pub warnings: Complaints,
}

/// Whether the secret files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are read and checked.
    Read,
    /// They are left alone: `explain` needs none, and whoever explains may not be allowed to read them.
    Skip,
}

/// Reads a configuration file.
pub fn load(path: &Path, secrets: Secrets) -> Result<Config, Complaints> {
    let document = Document::open(path)?;
    let root = document.parse()?;
    let root = Section::root(&document, &root);
    let config = read(&root, secrets);
    root.finish();
    let (complaints, warnings) = document.into_complaints();
    match config {
        Some(config) if complaints.is_empty() => Ok(Config { warnings, ..config }),
        Some(_) | None => Err(complaints),
    }
}

/// Reads every section, so that every complaint is made, and only then gives up.
fn read(root: &Section<'_>, secrets: Secrets) -> Option<Config> {
    let listen = server(root);
    let store = store(root);
    let defender = defender::read(root, secrets);
    let log = log(root);
    let graph = graph::read(root, defender.as_ref().map(|options| &options.app));
    let sources = sources::read(root, secrets, graph.references());
    let mut dispatch = dispatch::Options::new(sources.policies);
    dispatch.rules = sources.rules;
    let is_local = defender.as_ref().is_some_and(|options| is_loopback(&options.api_url));
    budget(root, &mut dispatch, is_local);
    intervals(root, &mut dispatch, is_local);
    let (log_format, log_level) = log?;
    Some(Config {
        http: http::Options { listen: listen?, sources: sources.all },
        store: store?,
        defender: defender?,
        graph: match graph {
            Graph::Off => None,
            Graph::On(options) => Some(*options?),
        },
        dispatch,
        log_format,
        log_level,
        warnings: Complaints::default(),
    })
}

fn server(root: &Section<'_>) -> Option<SocketAddr> {
    let section = root.section_or_empty("server");
    let listen: Option<SocketAddr> = match section.text("listen") {
        Some(text) => section.parse("listen", text, "write address and port, such as \"127.0.0.1:8420\""),
        None => LISTEN.parse().ok(),
    };
    let behind_proxy = section.boolean("behind_proxy").unwrap_or(false);
    section.finish();
    let listen = listen?;
    if listen.ip().is_loopback() || behind_proxy {
        return Some(listen);
    }
    section.complain(
        "listen",
        format!("{listen} is open to the network, and the service speaks plain HTTP"),
        "listen on 127.0.0.1 behind a proxy that speaks TLS, or say behind_proxy = true if one is in front of this address",
    );
    None
}

fn store(root: &Section<'_>) -> Option<store::Options> {
    let section = root.section("store")?;
    let path = section
        .required_text("path", "name the database file, such as \"/var/lib/quarantine-bridge/bridge.db\"");
    section.finish();
    Some(store::Options { path: section.resolve(path?) })
}

fn log(root: &Section<'_>) -> Option<(LogFormat, LevelFilter)> {
    let section = root.section_or_empty("log");
    let format = match section.text("format") {
        None | Some("json") => Some(LogFormat::Json),
        Some("text") => Some(LogFormat::Text),
        Some(other) => {
            section.complain("format", format!("{other:?} is no log format"), "write \"json\" or \"text\"");
            None
        }
    };
    let level = match section.text("level") {
        None => Some(LevelFilter::INFO),
        Some(text) => section.parse("level", text, "write error, warn, info, debug or trace"),
    };
    section.finish();
    format.zip(level)
}

/// The limits may be lowered; raised only against a simulator, for Microsoft's would answer 429.
fn budget(root: &Section<'_>, dispatch: &mut dispatch::Options, is_local: bool) {
    let section = root.section_or_empty("budget");
    let limits = [
        ("calls_per_minute", &mut dispatch.calls_per_minute),
        ("calls_per_hour", &mut dispatch.calls_per_hour),
        ("lookups_per_minute", &mut dispatch.lookups_per_minute),
        ("lookups_per_hour", &mut dispatch.lookups_per_hour),
    ];
    for (key, limit) in limits {
        let Some(number) = section.integer(key) else {
            continue;
        };
        let max = if is_local { i64::from(u32::MAX) } else { i64::from(*limit) };
        match u32::try_from(number) {
            Ok(wanted) if wanted > 0 && number <= max => *limit = wanted,
            _ => section.complain(
                key,
                format!("{number} is not between 1 and {max}"),
                "Microsoft allows no more",
            ),
        }
    }
    section.finish();
}

/// The settle time guards against a second call, and reads of Defender's list are counted too: both may be
/// shortened only against a simulator.
fn intervals(root: &Section<'_>, dispatch: &mut dispatch::Options, is_local: bool) {
    let section = root.section_or_empty("dispatch");
    let shortest = |secs, millis| {
        if is_local { SignedDuration::from_millis(millis) } else { SignedDuration::from_secs(secs) }
    };
    if let Some(time) = interval(&section, "settle", shortest(30, 1_000)) {
        dispatch.settle = Settle::after(time);
    }
    if let Some(time) = interval(&section, "look_every", shortest(5, 50)) {
        dispatch.look_every = time;
    }
    section.finish();
}

fn interval(section: &Section<'_>, key: &'static str, shortest: SignedDuration) -> Option<SignedDuration> {
    let time = section.duration(key)?;
    if time < shortest {
        let remedy = format!("write \"{} s\" or more", shortest.as_secs());
        section.complain(key, "is too short against Microsoft's service", &remedy);
    }
    Some(time)
}
