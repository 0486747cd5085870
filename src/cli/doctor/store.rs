//! The database, its disk, and what stands in it. Looked at beside a running service, or without one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tempfile::NamedTempFile;

use crate::alert::{Api, SourceName, after, before};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Place, ROOM_MIN, StoreError, Survey, place, room_left, survey};

use super::finding::{Check, Finding, note, well, wrong};

/// From how long on a forced write is slow: a disk of flash takes 1 to 5 ms, a turning one 10 to 20.
const FSYNC_SLOW: SignedDuration = SignedDuration::from_millis(100);

/// How many bytes are written to see how the disk does: a page of the database.
const PROBE: [u8; 4096] = [0; 4096];

/// Less than this is little.
const ROOM_LITTLE: u64 = 1024 * 1024 * 1024;

/// How long a source may be silent before that is noted.
const SILENT: SignedDuration = SignedDuration::from_hours(24);

/// How long before its end a token is told of.
const TOKEN_NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How long an outcome may be unknown.
const UNCERTAIN_MAX: SignedDuration = SignedDuration::from_mins(15);

/// Looks at the disk under the database.
pub(super) fn disk(config: &Config, clock: &Clock) -> Vec<Finding> {
    let path = &config.store.path;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut findings = vec![match forced_write(folder, clock) {
        Ok(took) if took < FSYNC_SLOW => {
            well(Check::Disk, format!("{} takes a forced write in {} ms", folder.display(), took.as_millis()))
        }
        Ok(took) => {
            let what = format!("{} takes {} ms for a forced write", folder.display(), took.as_millis());
            note(Check::Disk, what, "put the database on a local disk that is not shared, best one of flash")
        }
        Err(error) => {
            let what = format!("{} cannot be written: {error}", folder.display());
            wrong(Check::Disk, what, "make the folder, free space there, or run this as the service's user")
        }
    }];
    findings.push(file_system(config));
    if let Some(left) = room_left(&config.store) {
        let mib = left / (1024 * 1024);
        let what = format!("{mib} MiB are left on its disk");
        findings.push(if left < ROOM_MIN {
            wrong(Check::Disk, what, "free space: below 8 MiB no delivery is taken")
        } else if left < ROOM_LITTLE {
            note(
                Check::Disk,
                what,
                "a delivery with an action takes some 10 KiB; [retention] says how long it stays",
            )
        } else {
            well(Check::Disk, what)
        });
    }
    findings
}

fn file_system(config: &Config) -> Finding {
    let next = "put the database on a local disk or a block volume (deploy/README.md, \"Where the database may be\")";
    match place(&config.store) {
        Place::Good => well(Check::Disk, "its file system is one for a database"),
        Place::Doubtful { name, why } => note(Check::Disk, format!("its file system is {name}: {why}"), next),
        Place::Unsafe { name, why } => wrong(Check::Disk, format!("its file system is {name}: {why}"), next),
    }
}

/// Writes a page to a file of its own beside the database, and forces it to disk. The file goes away again.
fn forced_write(folder: &Path, clock: &Clock) -> io::Result<SignedDuration> {
    let mut file = NamedTempFile::with_prefix_in(".doctor-", folder)?;
    let begun = clock.steady();
    file.write_all(&PROBE)?;
    file.as_file().sync_all()?;
    let took = clock.steady().since(begun);
    file.close()?;
    Ok(took)
}

/// Looks at the database, and at what stands in it.
pub(super) fn database(config: &Config, now: Timestamp) -> (Vec<Finding>, Option<Survey>) {
    let path = config.store.path.display();
    if !config.store.path.exists() {
        let next = "nothing, if the service has never run; else check store.path and restore a backup";
        return (vec![note(Check::Database, format!("{path} is not there yet"), next)], None);
    }
    let sources: Vec<SourceName> = config.http.sources.iter().map(|source| source.name.clone()).collect();
    let since = before(now, SignedDuration::from_hours(1));
    match survey(&config.store, &sources, (since, now, after(now, TOKEN_NOTICE))) {
        Ok(survey) => (standing(config, &survey, now), Some(survey)),
        Err(error) => (vec![wrong(Check::Database, format!("{path}: {error}"), remedy(&error))], None),
    }
}

fn remedy(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotWritable(_) => {
            "run this as the service's user; if that is so, check the folder's and the files' owner"
        }
        StoreError::OtherVersion { .. } => {
            "use the version that the service runs; if it is stopped after an upgrade, start it: it brings the schema up to date"
        }
        StoreError::Broken(_) | StoreError::Corrupt(_) => {
            "stop the service, check the disk, restore a backup"
        }
        _ => "do what is said there; docs/reliability.md tells what the store does",
    }
}

fn standing(config: &Config, survey: &Survey, now: Timestamp) -> Vec<Finding> {
    let unfinished: u64 = survey
        .states
        .iter()
        .filter(|(state, _)| state.parse().is_ok_and(|state: crate::alert::State| !state.is_final()))
        .map(|(_, count)| *count)
        .sum();
    let what = format!("schema {}, {unfinished} actions unfinished", survey.schema);
    let mut findings = vec![well(Check::Database, what)];
    findings.extend(survey.last_actions.iter().map(|(source, at)| silence(source, *at, now)));
    findings.push(calls(config, &survey.calls));
    findings.extend(sending(survey, now));
    findings.extend(survey.ending_tokens.iter().map(|(name, end)| {
        let what = format!("the API token {name:?} ends {end:.0}");
        note(
            Check::Tokens,
            what,
            "make a new one with `quarantine-bridge token create`, and give it to its holder",
        )
    }));
    findings
}

fn silence(source: &SourceName, last: Option<Timestamp>, now: Timestamp) -> Finding {
    let next = "send a test from its tool, and look at GET /v1/sources and the log for deliveries that are not believed";
    match last {
        None => note(Check::Sources, format!("{source} has never brought an action"), next),
        Some(at) if now.duration_since(at) > SILENT => {
            note(Check::Sources, format!("{source} brought its last action {at:.0}"), next)
        }
        Some(at) => well(Check::Sources, format!("{source} brought its last action {at:.0}")),
    }
}

fn calls(config: &Config, calls: &BTreeMap<Api, u32>) -> Finding {
    let used = calls.get(&Api::Quarantine).copied().unwrap_or_default();
    let limit = config.dispatch.calls_per_hour;
    let what = format!("{used} of {limit} calls were made in the last hour");
    if used >= limit {
        return note(
            Check::Budget,
            what,
            "nothing: what waits goes out by severity and age; GET /v1/budget says when",
        );
    }
    well(Check::Budget, what)
}

fn sending(survey: &Survey, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if survey.kill_switch.is_on {
        let next = "`quarantine-bridge kill-switch status` says why, `kill-switch off` turns it off";
        findings.push(note(Check::Sending, "the kill switch is on: nothing is sent", next));
    }
    if survey.blast_breaker.is_open {
        let next = "`quarantine-bridge blast-breaker status` says why, `blast-breaker close` closes it";
        let what = "the breaker on blast radius is open: every action needs a person";
        findings.push(note(Check::Sending, what, next));
    }
    let is_old = |since: &Timestamp| now.duration_since(*since) > UNCERTAIN_MAX;
    if let Some(since) = survey.uncertain_since.filter(is_old) {
        let what = format!(
            "the outcome of a call has been unknown since {since:.0}: Defender's list cannot be read"
        );
        findings.push(wrong(
            Check::Sending,
            what,
            "see what is said of token, roles and list, and the service's log",
        ));
    }
    if findings.is_empty() {
        findings.push(well(Check::Sending, "nothing stops it"));
    }
    findings
}
