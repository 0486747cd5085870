//! What an operator copies or types from the repository's documents is right.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quarantine_bridge::alert::SourceName;
use quarantine_bridge::config::{Config, Secrets, load};
use quarantine_bridge::microsoft::Identity;
use tempfile::TempDir;
use url::Url;

use crate::harness::binary::command;

const EXAMPLE: &str = include_str!("../../quarantine-bridge.example.toml");
const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

/// What must be stated: the rest has defaults.
const LEAST: &str = r#"
[store]
path = "/var/lib/quarantine-bridge/bridge.db"
[defender]
tenant_id = "00000000-0000-0000-0000-000000000000"
client_id = "00000000-0000-0000-0000-000000000000"
client_secret = { file = "secret" }
[sources.soc]
format = "defender-alert"
mode = "shadow"
[sources.soc.auth]
scheme = "standard-webhooks"
secrets = [{ file = "secret" }]
"#;

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarantine-bridge.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(text: &str) -> Config {
    let (_folder, path) = file(text);
    load(&path, Secrets::Skip).unwrap_or_else(|complaints| panic!("{complaints}"))
}

fn login_url(config: &Config) -> Url {
    match &config.defender.identity {
        Identity::App(app) => app.login_url.clone(),
        Identity::Managed(_) => panic!("it has an app registration"),
    }
}

#[test]
fn the_example_configuration_states_the_defaults() {
    let (example, least) = (read(EXAMPLE), read(LEAST));
    assert_eq!(example.http.listen, least.http.listen);
    assert_eq!(example.store.path, least.store.path);
    assert_eq!(example.defender.api_url, least.defender.api_url);
    assert_eq!(login_url(&example), login_url(&least));
    assert_eq!(example.defender.scope, least.defender.scope);
    assert!(example.graph.is_none() && least.graph.is_none());
    let calls = |config: &Config| (config.dispatch.calls_per_minute, config.dispatch.calls_per_hour);
    assert_eq!(calls(&example), calls(&least));
    let lookups = |config: &Config| (config.dispatch.lookups_per_minute, config.dispatch.lookups_per_hour);
    assert_eq!(lookups(&example), lookups(&least));
    assert_eq!(format!("{:?}", example.dispatch.settle), format!("{:?}", least.dispatch.settle));
    assert_eq!(example.dispatch.look_every, least.dispatch.look_every);
    assert_eq!(format!("{:?}", example.log_format), format!("{:?}", least.log_format));
    assert_eq!(example.log_level, least.log_level);
    let soc: SourceName = "soc".parse().unwrap();
    assert_eq!(example.dispatch.rules[&soc], least.dispatch.rules[&soc]);
    let policies = (&example.dispatch.policies[&soc], &least.dispatch.policies[&soc]);
    assert_eq!(format!("{:?}", policies.0), format!("{:?}", policies.1));
}

#[test]
fn the_example_configuration_states_the_default_limits() {
    let (example, least) = (read(EXAMPLE), read(LEAST));
    assert_eq!(format!("{:?}", example.http.limits), format!("{:?}", least.http.limits));
    assert_eq!(format!("{:?}", example.dispatch.pending_max), format!("{:?}", least.dispatch.pending_max));
    let quotas = (&example.http.sources[0].quota, &least.http.sources[0].quota);
    assert_eq!(format!("{:?}", quotas.0), format!("{:?}", quotas.1));
}

/// A key that is not there makes the service list those that are.
fn keys_of(section: &str) -> BTreeSet<String> {
    let unknown = format!("{section}\nno_such_key_anywhere = 1");
    let (_folder, path) = file(&EXAMPLE.replacen(section, &unknown, 1));
    let complaints = load(&path, Secrets::Read).unwrap_err();
    let unknown = complaints.0.iter().find(|it| it.key.ends_with("no_such_key_anywhere")).unwrap();
    let keys = unknown.remedy.strip_prefix("the keys here are ").unwrap();
    keys.split(", ").map(ToOwned::to_owned).collect()
}

#[test]
fn the_example_configuration_has_every_key() {
    for section in [
        "[server]",
        "[store]",
        "[kill_switch]",
        "[defender]",
        "[graph]",
        "[budget]",
        "[dispatch]",
        "[policy]",
        "[policy.guards]",
        "[log]",
        "[telemetry]",
        "[sources.soc]",
        "[sources.soc.quota]",
        "[sources.soc.auth]",
        "[sources.soc.resolve]",
    ] {
        let keys = keys_of(section);
        assert!(!keys.is_empty(), "{section}");
        for key in keys {
            let is_there = EXAMPLE.contains(&format!("\n{key} ="))
                || EXAMPLE.contains(&format!(" {key} ="))
                || EXAMPLE.contains(&format!("{}.{key}]", section.trim_end_matches(']')));
            assert!(is_there, "{section} {key} is not in the example");
        }
    }
}

#[test]
fn every_command_in_the_readme_is_one() {
    let help = command(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut seen = BTreeSet::new();
    for line in README.lines() {
        let within = ["`", "$("].map(|before| format!("{before}quarantine-bridge "));
        let within = within.iter().flat_map(|begin| line.split(begin.as_str()).skip(1));
        let shown = line.trim().strip_prefix("quarantine-bridge ").into_iter().chain(within);
        for rest in shown {
            let word: String = rest.chars().take_while(|it| it.is_ascii_lowercase() || *it == '-').collect();
            assert!(help.contains(&format!("\n  {word} ")), "{word:?} is no command: {line}");
            seen.insert(word);
        }
    }
    assert!(seen.len() >= 8, "the README shows only {seen:?}");
}

#[test]
fn architecture_names_every_folder_and_only_those() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            folders.insert(entry.file_name().into_string().unwrap());
        }
    }
    let named: BTreeSet<_> = ARCHITECTURE
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("src/")?.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .collect();
    assert_eq!(named, folders);
}
