//! Reads the configuration: one TOML file and the secret files that it names, all complaints at once.

mod api;
mod audit;
mod auth;
mod callbacks;
mod cloud;
mod complaint;
mod defender;
mod duration;
mod files;
mod fixed;
mod graph;
mod hmac;
mod identity;
mod jwt;
mod policy;
mod protect;
mod reader;
mod redacted;
mod resolve;
mod retention;
mod secret;
mod server;
mod sources;
mod telemetry;
mod text_file;
mod tls;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use tracing::level_filters::LevelFilter;

use crate::alert::SourceName;
use crate::audit::Digest;
use crate::budget::Reserve;
use crate::callbacks::Callback;
use crate::checkpoints::Options as CheckpointOptions;
use crate::defender::Options as DefenderOptions;
use crate::dispatch::{self, Settle};
use crate::graph::Options as GraphOptions;
use crate::outgoing::is_loopback;
use crate::telemetry::LogFormat;
use crate::traces::Options as TraceOptions;
use crate::undo::Portal;
use crate::{http, store};

pub use complaint::{Complaint, Complaints};
pub use duration::parse as parse_duration;
pub use files::Files;
pub use fixed::Fixed;
pub use redacted::redacted;
pub use secret::{SecretError, read_file as read_secret_file};
pub use tls::{Refresh, TlsFiles};

use graph::Graph;
use reader::{Document, Section};

/// The whole configuration, as each module's own options.
#[derive(Debug)]
pub struct Config {
    /// Where to listen, and to whom.
    pub http: http::Options,
    /// The files of the listener's certificate, to be looked at again.
    pub tls_files: Option<TlsFiles>,
    /// Where the store lives.
    pub store: store::Options,
    /// The file whose presence turns the kill switch on.
    pub signal_file: Option<PathBuf>,
    /// How long it keeps what is over.
    pub retention: store::Retention,
    /// With what the audit is signed; nothing if it is not.
    pub checkpoints: Option<CheckpointOptions>,
    /// The digest of the file that it was read from.
    pub file: Digest,
    /// How to reach Defender.
    pub defender: DefenderOptions,
    /// How to reach Microsoft Graph, if alerts are fetched there.
    pub graph: Option<GraphOptions>,
    /// How dispatch behaves, each source's policy included.
    pub dispatch: dispatch::Options,
    /// Who is told what became of actions.
    pub callbacks: Vec<Callback>,
    /// Who is told of traces, if anybody is.
    pub traces: Option<TraceOptions>,
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

/// A configuration that was read, whether it is good or not.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, or what is wrong with it.
    pub config: Result<Config, Complaints>,
    /// The files that it was read from: itself, secrets, formats.
    pub files: Files,
    /// What cannot change while the service runs.
    pub fixed: Fixed,
    /// The digest of the configuration file.
    pub file: Digest,
}

/// Reads a configuration file.
pub fn load(path: &Path, secrets: Secrets) -> Result<Config, Complaints> {
    load_with_files(path, secrets).config
}

/// Reads only where the store lies, for commands that must do their work whatever else is wrong; returns what is wrong besides.
pub fn load_store(path: &Path) -> Result<(store::Options, Complaints), Complaints> {
    let complaints = match load(path, Secrets::Skip) {
        Ok(config) => return Ok((config.store, Complaints(Vec::new()))),
        Err(complaints) => complaints,
    };
    let document = Document::open(path);
    let root = document.parse();
    let store = root.as_ref().and_then(|root| store(&Section::root(&document, root)));
    store.map(|store| (store, complaints.clone())).ok_or(complaints)
}

/// Reads a configuration file, and tells what it was read from.
pub fn load_with_files(path: &Path, secrets: Secrets) -> Loaded {
    let document = Document::open(path);
    let file = Digest::of(document.text().as_bytes());
    let (config, fixed) = match document.parse() {
        Some(root) => {
            let mut fixed = Fixed::read(document.text(), &root);
            let root = Section::root(&document, &root);
            let config = sections(&root, secrets);
            let audit = audit::read(&root, secrets);
            root.finish();
            if let Some(config) = &config {
                fixed.add_identity(&config.defender.identity);
                if let Some(key) = &config.http.link_key {
                    fixed.add_secret("server.link_key", key.secret());
                }
            }
            if let Some(secret) = &audit.secret {
                fixed.add_secret("audit.signing_key", secret);
            }
            (config.map(|config| Config { checkpoints: audit.options, file, ..config }), fixed)
        }
        None => (None, Fixed::default()),
    };
    let files = document.files();
    let (complaints, warnings) = document.into_complaints();
    let config = match config {
        Some(config) if complaints.is_empty() => Ok(Config { warnings, ..config }),
        Some(_) | None => Err(complaints),
    };
    Loaded { config, files, fixed, file }
}

/// Reads every section, so that every complaint is made, and only then gives up.
fn sections(root: &Section<'_>, secrets: Secrets) -> Option<Config> {
    root.allow_environment(root.boolean("allow_environment_secrets").unwrap_or(false));
    let server = server::read(root, secrets);
    let store = store(root);
    let signal_file = signal_file(root);
    let defender = defender::read(root, secrets);
    let log = log(root);
    let traces = telemetry::read(root);
    let (hosts, defender) = defender.map_or((None, None), |read| (Some(read.hosts), read.options));
    let graph = graph::read(root, hosts.as_ref(), defender.as_ref().map(|options| &options.identity));
    let global = policy::read(root);
    let sources = sources::read(root, secrets, graph.references(), &global);
    let principals = api::read(root, &sources.all);
    let names: Vec<SourceName> = sources.policies.keys().cloned().collect();
    let callbacks = callbacks::read(root, secrets, &names);
    let mut dispatch = dispatch::Options::new(sources.policies);
    dispatch.rules = sources.rules;
    dispatch.pending_max = sources.pending_max;
    let portal = hosts.map_or(Portal::default(), |hosts| hosts.cloud.portal);
    // Where that is not known, nobody is told of a second mistake that may be none.
    let is_local = defender.as_ref().is_none_or(|options| is_loopback(&options.api_url));
    budget(root, &mut dispatch, is_local);
    intervals(root, &mut dispatch, is_local);
    let oldest = dispatch.policies.values().map(|policy| policy.max_age).max();
    let retention = retention::read(root, oldest.unwrap_or_default());
    let tenant_id = defender.as_ref().and_then(|options| options.identity.tenant_id());
    let tenant_id = tenant_id.unwrap_or_default().to_owned();
    let (log_format, log_level) = log?;
    let server = server?;
    Some(Config {
        http: http::Options { sources: sources.all, portal, principals, tenant_id, ..server.http },
        tls_files: server.tls_files,
        store: store?,
        signal_file,
        retention,
        checkpoints: None,
        file: Digest::START,
        defender: defender?,
        graph: match graph {
            Graph::Off => None,
            Graph::On(options) => Some(*options?),
        },
        dispatch,
        callbacks,
        traces,
        log_format,
        log_level,
        warnings: Complaints::default(),
    })
}

/// Reads a whole number within bounds.
fn whole(section: &Section<'_>, key: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
    let number = section.integer(key)?;
    let fitting = u32::try_from(number).ok().filter(|number| bounds.contains(number));
    if fitting.is_none() {
        let problem = format!("{number} is not between {} and {}", bounds.start(), bounds.end());
        section.complain(key, problem, "write a number between the two");
    }
    fitting
}

fn store(root: &Section<'_>) -> Option<store::Options> {
    let section = root.section("store")?;
    let path = section
        .required_text("path", "name the database file, such as \"/var/lib/quarantine-bridge/bridge.db\"");
    section.finish();
    Some(store::Options { path: section.resolve(path?) })
}

fn signal_file(root: &Section<'_>) -> Option<PathBuf> {
    let section = root.section_or_empty("kill_switch");
    let file = section.text("file");
    if file.is_some_and(str::is_empty) {
        section.complain(
            "file",
            "names no file",
            "name one, such as \"/run/quarantine-bridge/stop\", or leave it out",
        );
    }
    section.finish();
    file.map(|file| section.resolve(file))
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
        ("reads_per_minute", &mut dispatch.reads_per_minute),
        ("reads_per_hour", &mut dispatch.reads_per_hour),
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
    if let Some(reserve) = reserve(&section) {
        dispatch.reserve = reserve;
    }
    section.finish();
}

/// The reserve is written as a part of the limits, such as 0.2, and kept in whole percent.
fn reserve(section: &Section<'_>) -> Option<Reserve> {
    let part = section.number("reserve")?;
    let percents = 0..=Reserve::PERCENT_MAX;
    let percent = percents.into_iter().find(|percent| (f64::from(*percent) - part * 100.0).abs() < 1e-6);
    let reserve = percent.and_then(Reserve::from_percent);
    if reserve.is_none() {
        let remedy =
            "write a part of the limits in hundredths, such as 0.2; the other severities need some of them";
        section.complain("reserve", format!("{part} is not one of 0, 0.01 to 0.9"), remedy);
    }
    reserve
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
    if let Some(time) = section.duration("share_window") {
        if time > SHARE_WINDOW_MAX {
            section.complain("share_window", "is longer than a day", "write \"24 h\" or less");
        }
        dispatch.share_window = time;
    }
    section.finish();
}

/// A quarantine that is older says nothing of now.
const SHARE_WINDOW_MAX: SignedDuration = SignedDuration::from_hours(24);

fn interval(section: &Section<'_>, key: &'static str, shortest: SignedDuration) -> Option<SignedDuration> {
    let time = section.duration(key)?;
    if time < shortest {
        let remedy = format!("write \"{} s\" or more", shortest.as_secs());
        section.complain(key, "is too short against Microsoft's service", &remedy);
    }
    Some(time)
}
