//! `[sources.NAME]`: who may send, how they prove it, what they send, what they may do.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::alert::{Mode, Severity, SourceName};
use crate::dispatch::PENDING_MAX;
use crate::dispatch::resolve::Rules;
use crate::http::{Quota, Rate, Source};
use crate::mapping::{BUILT_IN, Body, BuiltIn, Format, Pairing, References};
use crate::policy::Policy;

use super::Secrets;
use super::auth;
use super::policy::{self, Global};
use super::reader::Section;
use super::{resolve, text_file, whole};

/// The age limit if a source does not say.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(60);

/// The severity floor if a source does not say.
const MIN_SEVERITY: Severity = Severity::Medium;

/// How long a machine action may stay open, at the least and at the most.
const PENDING_BOUNDS: RangeInclusive<SignedDuration> =
    SignedDuration::from_mins(5)..=SignedDuration::from_hours(24 * 30);

/// The sources and what each may do.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) all: Vec<Source>,
    pub(super) policies: HashMap<SourceName, Policy>,
    pub(super) rules: HashMap<SourceName, Rules>,
    pub(super) pending_max: HashMap<SourceName, SignedDuration>,
}

/// Reads every source.
pub(super) fn read(root: &Section<'_>, secrets: Secrets, references: References, global: &Global) -> Sources {
    let mut sources = Sources::default();
    let Some(all) = root.section("sources") else {
        return sources;
    };
    for (name, section) in all.named() {
        let rules = resolve::read(&section);
        let pending_max = pending_max(&section);
        if let Some((source, policy)) = source(name, &section, (secrets, references), global) {
            sources.policies.insert(source.name.clone(), policy);
            sources.rules.insert(source.name.clone(), rules);
            sources.pending_max.insert(source.name.clone(), pending_max);
            sources.all.push(source);
        }
        section.finish();
    }
    sources
}

fn source(
    name: &str,
    section: &Section<'_>,
    (secrets, references): (Secrets, References),
    global: &Global,
) -> Option<(Source, Policy)> {
    let name: Option<SourceName> = match name.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            section.complain("", format!("{error}"), "rename the source");
            None
        }
    };
    let policy = policy(section, global);
    let asks = auth::takes_api_tokens(section);
    let format = if asks { plain(section) } else { format(section) }.zip(reading(section));
    let format = format.map(|(format, (body, pairing))| format.with_body(body).with_pairing(pairing));
    let format = format.map(|format| format.with_references(references));
    check_references(section, references);
    let gate = auth::read(section, secrets);
    let quota = quota(section, asks);
    Some((Source { name: name?, gate: gate?, format: Arc::new(format?), quota }, policy?))
}

/// How much the source may deliver, and what it understands when that is over.
fn quota(section: &Section<'_>, asks: bool) -> Quota {
    const BOUNDS: RangeInclusive<u32> = 1..=1_000_000;
    let quota = section.section_or_empty("quota");
    let rate = Rate::per_minute(
        whole(&quota, "deliveries_per_minute", BOUNDS).unwrap_or(Quota::DELIVERIES_PER_MINUTE),
        whole(&quota, "burst", BOUNDS).unwrap_or(Quota::BURST),
    );
    quota.finish();
    Quota { rate, retries_429: section.boolean("retries_429").unwrap_or(asks) }
}

fn policy(section: &Section<'_>, global: &Global) -> Option<Policy> {
    let modes = "write \"shadow\" (decide and record, never call), \"approve\" (hold every action for a person) or \
                 \"enforce\" (call when every guard passes)";
    let mode = section.required_text("mode", modes);
    let mode: Option<Mode> = mode.and_then(|text| section.parse("mode", text, modes));
    let min_severity = match section.text("min_severity") {
        Some(text) => section.parse("min_severity", text, "write one of the five"),
        None => Some(MIN_SEVERITY),
    };
    let max_age = section.duration("max_age").unwrap_or(MAX_AGE);
    if max_age < SignedDuration::from_secs(1) {
        section.complain("max_age", "is zero: every alert is older", "write \"60m\" or so");
    }
    let guards = policy::of_source(section, global);
    let policy = Policy::new(mode?, min_severity?, max_age);
    Some(Policy { mode_max: global.mode_max, guards: Arc::new(guards), ..policy })
}

/// How long Defender may wait for a device. Under some minutes it would cancel what is only slow.
fn pending_max(section: &Section<'_>) -> SignedDuration {
    let limit = section.duration("pending_max").unwrap_or(PENDING_MAX);
    if !PENDING_BOUNDS.contains(&limit) {
        section.complain("pending_max", "is not between 5 minutes and 30 days", "write \"24h\" or so");
    }
    limit
}

/// A source that asks by the API sends no payloads. `explain` reads the plain form for it.
fn plain(section: &Section<'_>) -> Option<Format> {
    for key in ["format", "format_file", "body", "pair"] {
        if section.text(key).is_some() {
            let problem = "is for payloads, and the source asks for actions by the API";
            section.complain(key, problem, "take it away, or choose another scheme");
        }
    }
    BuiltIn::named("bridge").and_then(|built_in| load(section, "format", built_in.name, built_in.code))
}

/// A built-in format by name, or a user's own from a file.
fn format(section: &Section<'_>) -> Option<Format> {
    let names: Vec<&str> = BUILT_IN.iter().map(|format| format.name).collect();
    let remedy = format!("write format = one of {names:?}, or format_file = \"my.jq\"");
    match (section.text("format"), section.text("format_file")) {
        (Some(name), None) => {
            let Some(built_in) = BuiltIn::named(name) else {
                section.complain("format", format!("there is no format {name:?}"), &remedy);
                return None;
            };
            load(section, "format", name, built_in.code)
        }
        (None, Some(file)) => {
            let path = section.resolve(file);
            section.note_file(&path);
            match text_file::read(&path) {
                Ok(code) => load(section, "format_file", file, &code),
                Err(error) => {
                    let problem = format!("{}: {error}", path.display());
                    section.complain("format_file", problem, "name a readable file with a jq program");
                    None
                }
            }
        }
        (Some(_), Some(_)) => {
            section.complain("format_file", "stands beside format", "keep one of the two");
            None
        }
        (None, None) => {
            section.complain("format", "is missing", &remedy);
            None
        }
    }
}

/// Graph's notifications refer to alerts and hold none: without Graph nothing could ever come of them.
fn check_references(section: &Section<'_>, references: References) {
    if references == References::Refused && section.text("format") == Some("graph-notification") {
        section.complain(
            "format",
            "is \"graph-notification\", and the alerts that it refers to are not fetched",
            "add [graph] with enabled = true; docs/graph-notifications.md tells which permission that needs",
        );
    }
}

/// How bodies are read, and what may be made of files and devices that come unpaired.
fn reading(section: &Section<'_>) -> Option<(Body, Pairing)> {
    let body = match section.text("body").unwrap_or("one") {
        "one" => Some(Body::One),
        "concatenated" => Some(Body::Concatenated),
        other => {
            let remedy = "write \"one\", or \"concatenated\" for JSON objects run together or one a line";
            section.complain("body", format!("{other:?} is no kind of body"), remedy);
            None
        }
    };
    Some((body?, pairing(section)?))
}

fn pairing(section: &Section<'_>) -> Option<Pairing> {
    let max = section.integer("cross_max");
    let remedy = "write the most pairs that an alert may make, 2 to 100, beside pair = \"cross\"";
    match section.text("pair").unwrap_or("stated") {
        "stated" => {
            if max.is_some() {
                section.complain("cross_max", "stands without pair = \"cross\"", "take it away");
            }
            Some(Pairing::Stated)
        }
        "cross" => {
            let allowed = max.filter(|max| (2..=100).contains(max));
            let allowed = allowed.and_then(|max| NonZeroUsize::new(usize::try_from(max).ok()?));
            if allowed.is_none() {
                let problem = if max.is_some() { "is not from 2 to 100" } else { "is missing" };
                section.complain("cross_max", problem, remedy);
            }
            allowed.map(Pairing::Cross)
        }
        other => {
            let remedy = "write \"stated\"; or \"cross\" for a source whose rules guarantee that every file was on every device";
            section.complain("pair", format!("{other:?} is no rule for pairing"), remedy);
            None
        }
    }
}

fn load(section: &Section<'_>, key: &'static str, name: &str, code: &str) -> Option<Format> {
    match Format::load(name, code) {
        Ok(format) => Some(format),
        Err(error) => {
            let remedy = "see `formats show NAME` for programs that are taken";
            section.complain(key, format!("{name}: {error}"), remedy);
            None
        }
    }
}
