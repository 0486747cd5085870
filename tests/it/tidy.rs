//! Holds the code to the table of who may import what, and to a few plain rules. Each breach is told with file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// A part of the code, what of ours it may import, and which crates of I/O it may name.
///
/// A file of a module stands before the module itself. An entry such as `store::RecordedIntent` allows that item only.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("alert", &[], &[]),
    ("audit", &["alert"], &[]),
    ("budget", &["alert"], &[]),
    ("clock", &["alert"], &[]),
    ("telemetry", &["alert"], &["std::io", "std::thread"]),
    ("ingest", &["alert"], &[]),
    ("oidc/kept", &["alert", "ingest"], &[]),
    ("outgoing", &[], &["reqwest", "tokio"]),
    ("public_url", &["outgoing"], &[]),
    ("oidc", &["ingest", "clock", "telemetry", "outgoing"], &["reqwest", "tokio"]),
    ("mapping/mapper", &["alert"], &["tokio", "std::thread", "std::io"]),
    ("mapping/program", &["alert"], &["std::thread"]),
    ("mapping", &["alert"], &[]),
    ("policy", &["alert"], &[]),
    ("undo", &["alert"], &[]),
    (
        "store",
        &["alert", "audit", "policy", "undo", "ingest::Verified"],
        &["rusqlite", "tokio", "std::fs", "std::io", "std::thread"],
    ),
    ("microsoft/answer", &["alert"], &[]),
    ("microsoft/aadsts", &[], &[]),
    ("microsoft/certificate", &["alert"], &[]),
    ("microsoft", &["alert", "outgoing", "telemetry"], &["reqwest", "oauth2", "tokio", "std::fs"]),
    ("defender/outcome", &["alert", "microsoft"], &[]),
    (
        "defender",
        &[
            "alert",
            "clock",
            "outgoing",
            "telemetry",
            "microsoft",
            "store::RecordedIntent",
            "store::RecordedCancel",
        ],
        &["reqwest"],
    ),
    ("graph/answer", &["microsoft"], &[]),
    ("graph/step", &["alert"], &[]),
    (
        "graph",
        &["alert", "mapping", "store", "clock", "outgoing", "telemetry", "microsoft"],
        &["reqwest", "tokio"],
    ),
    ("dispatch/backoff", &[], &[]),
    ("dispatch/breaker", &["alert"], &[]),
    ("dispatch/upstreams", &["alert"], &[]),
    ("dispatch/first_look", &["alert"], &[]),
    ("dispatch/step", &["alert"], &[]),
    ("dispatch/reconcile", &["alert"], &[]),
    ("dispatch/track", &["alert"], &[]),
    ("dispatch/cancel", &["alert"], &[]),
    ("dispatch/waited", &["alert"], &[]),
    ("dispatch/resolve", &["alert"], &[]),
    ("dispatch/answers", &["alert"], &[]),
    ("dispatch/decide", &["alert", "policy"], &[]),
    ("dispatch/facts", &["alert", "policy"], &[]),
    ("dispatch", &["alert", "budget", "policy", "store", "defender", "clock", "telemetry"], &["tokio"]),
    ("http/bucket", &["alert"], &[]),
    ("http/failures", &["alert"], &[]),
    (
        "http",
        &[
            "alert",
            "audit::Entry",
            "budget",
            "ingest",
            "mapping",
            "oidc",
            "public_url",
            "store",
            "clock",
            "telemetry",
            "undo",
        ],
        &["actix_web", "actix_http", "actix_server", "tokio", "tokio_rustls", "std::net", "std::io"],
    ),
    ("traces/span", &["alert", "store::ActionRecord", "store::Attempt"], &[]),
    ("traces", &["alert", "audit", "outgoing", "store", "telemetry"], &["reqwest", "tokio"]),
    ("spool", &["alert"], &["std::fs", "std::io"]),
    ("relay/answer", &["alert"], &[]),
    ("relay/schedule", &["alert"], &[]),
    (
        "relay",
        &["alert", "clock", "ingest", "outgoing", "spool", "http::body", "http::problem", "http::trace"],
        &["actix_web", "reqwest", "tokio", "std::net", "std::io"],
    ),
    ("kill_switch", &["store", "clock", "telemetry"], &["tokio", "std::fs", "std::io"]),
    ("notify", &[], &["std::env", "std::io", "std::process"]),
    ("retention", &["store", "clock", "telemetry"], &["tokio"]),
    ("checkpoints", &["alert", "audit", "store", "clock", "telemetry"], &["tokio"]),
    ("callbacks/answer", &["alert", "store::Sent"], &[]),
    ("callbacks/event", &["alert", "audit", "public_url", "store::ActionRecord", "store::AuditRow"], &[]),
    (
        "callbacks",
        &["alert", "ingest", "outgoing", "public_url", "store", "clock", "telemetry"],
        &["reqwest", "tokio"],
    ),
    (
        "config",
        &[
            "alert",
            "audit",
            "budget",
            "callbacks",
            "checkpoints",
            "clock",
            "ingest",
            "mapping",
            "policy",
            "store",
            "microsoft",
            "outgoing",
            "defender",
            "dispatch",
            "graph",
            "http",
            "telemetry",
            "traces",
            "undo",
        ],
        &["toml", "std::fs", "std::io", "std::env", "std::net"],
    ),
    ("simulator", &["alert", "clock"], &["actix_web", "tokio", "std::net", "std::io"]),
    (
        "cli",
        &[
            "alert",
            "audit",
            "budget",
            "callbacks",
            "checkpoints",
            "clock",
            "config",
            "defender",
            "dispatch",
            "graph",
            "http",
            "ingest",
            "kill_switch",
            "mapping",
            "microsoft",
            "notify",
            "oidc",
            "outgoing",
            "policy",
            "relay",
            "retention",
            "simulator",
            "spool",
            "store",
            "telemetry",
            "traces",
            "undo",
            "cli",
        ],
        &["actix_web", "clap", "reqwest", "tokio", "std::fs", "std::io", "std::net", "std::process"],
    ),
    ("lib", &[], &[]),
    ("main", &[], &["std::env", "std::process"]),
];

/// Crates and modules that reach outside the process.
const IO: &[&str] = &[
    "rusqlite",
    "tokio",
    "reqwest",
    "oauth2",
    "actix_web",
    "actix_http",
    "actix_server",
    "tokio_rustls",
    "clap",
    "toml",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::io",
    "std::thread",
    "std::time::SystemTime",
];

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The path of a file without root and ending: `dispatch/step`.
fn part(file: &Path) -> String {
    let path = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let path = path.with_extension("");
    let path = path.to_str().unwrap();
    path.strip_suffix("/mod").unwrap_or(path).to_owned()
}

fn row(part: &str) -> &'static (&'static str, &'static [&'static str], &'static [&'static str]) {
    let fits = |(name, ..): &&(&str, _, _)| part == *name || part.starts_with(&format!("{name}/"));
    TABLE.iter().find(fits).unwrap_or_else(|| panic!("{part} is not in the table"))
}

/// The code lines of a file, numbered, without comments.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.to_owned()));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}

/// What a line takes from our own modules: `store::RecordedIntent`.
fn ours(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (place, _) in line.match_indices("crate::") {
        let rest = &line[place + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let items = list.split(['}', ';']).next().unwrap().split(',');
            found.extend(items.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()));
        } else {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':' && c != '{')
                .unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches("::{");
            match rest.split_once("::{").filter(|(head, _)| !head.contains(';')) {
                Some((module, items)) => {
                    let items = items.split('}').next().unwrap().split(',');
                    found.extend(items.map(|item| format!("{module}::{}", item.trim())));
                }
                None => found.push(path.to_owned()),
            }
        }
    }
    found
}

#[test]
fn no_module_imports_what_it_may_not() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        let part = part(&file);
        let (_, allowed, _) = row(&part);
        let own = part.split('/').next().unwrap();
        for (line, text) in code(&file) {
            for path in ours(&text) {
                let module = path.split("::").next().unwrap();
                let is_allowed = allowed.iter().any(|allowed| {
                    *allowed == module || path == *allowed || path.starts_with(&format!("{allowed}::"))
                });
                if module != own && !is_allowed && !module.starts_with(char::is_uppercase) {
                    breaches.push(format!("{}:{line}: {part} may not import {path}", file.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn crates_of_io_have_one_home() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        let part = part(&file);
        let (_, _, allowed) = row(&part);
        for (line, text) in code(&file) {
            for io in IO.iter().filter(|io| !allowed.contains(io)) {
                // The path itself, not the end of a longer name.
                let named = text.match_indices(io).any(|(place, _)| {
                    let before = text[..place].chars().next_back().unwrap_or(' ');
                    let after = text[place + io.len()..].chars().next().unwrap_or(' ');
                    let starts = !before.is_alphanumeric() && before != '_' && before != '"' && before != '.';
                    starts && after == ':' || (text.starts_with("use ") && starts && after == ';')
                });
                if named {
                    breaches.push(format!("{}:{line}: {part} may not name {io}", file.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_row_of_the_table_is_used() {
    let parts: Vec<_> = rust_files("src").iter().map(|file| part(file)).collect();
    for (name, ..) in TABLE {
        assert!(parts.iter().any(|part| row(part).0 == *name), "{name} is in the table and not in the code");
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut breaches = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("benches")) {
        let text = fs::read_to_string(&file).unwrap();
        let count = text.lines().count();
        if count > 400 {
            breaches.push(format!("{}: {count} lines, at most 400", file.display()));
        }
        if !text.starts_with("//! ") {
            breaches.push(format!("{}:1: begins without a sentence that says what it is", file.display()));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn no_traits_macros_or_silenced_lints_of_our_own() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        for (line, text) in code(&file) {
            let words = ["macro_rules!", "#[allow(", "#![allow(", "pub trait ", "trait "];
            if words.iter().any(|word| text.trim_start().starts_with(word)) {
                breaches.push(format!("{}:{line}: {}", file.display(), text.trim()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn no_test_sleeps_or_is_left_out() {
    let words = [concat!("sleep", "("), concat!("#[", "ignore"), concat!("should_", "panic")];
    let mut breaches = Vec::new();
    for file in rust_files("tests") {
        for (line, text) in code(&file) {
            if words.iter().any(|word| text.contains(word)) {
                breaches.push(format!("{}:{line}: {}", file.display(), text.trim()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn a_breach_of_the_table_would_be_seen() {
    assert_eq!(ours("use crate::store::{Advance, Store};"), ["store::Advance", "store::Store"]);
    assert_eq!(ours("use crate::{http, store};"), ["http", "store"]);
    assert_eq!(ours("    let x = crate::dispatch::next(a);"), ["dispatch::next"]);
    assert_eq!(ours("use crate::ingest::Verified;"), ["ingest::Verified"]);
    assert_eq!(row("dispatch/step").1, ["alert"]);
    assert_eq!(row("dispatch/send").0, "dispatch");
}
