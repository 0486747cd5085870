//! `policy test`, and the keys of `[policy]`, through the real binary.

use std::fs;
use std::path::Path;

use quarantine_bridge::config::{Secrets, load};
use serde_json::{Value, json};

use crate::harness::binary::{Installation, command};

fn cases() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/policy")
}

#[test]
fn the_shipped_cases_are_decided_as_expected() {
    let config = Path::new(cases()).join("quarantine-bridge.toml");
    let output =
        command(&["policy", "test", cases(), "--config", config.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 8, "{text}");
}

#[test]
fn a_case_that_is_decided_otherwise_fails_and_can_be_updated() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let text = fs::read_to_string(Path::new(cases()).join("a-server-is-held.json")).unwrap();
    fs::create_dir(installation.path("cases")).unwrap();
    installation.write("cases/one.json", &text.replace("\"hold\"", "\"send\""));

    let differs = installation.run(&["policy", "test", "cases", "--json"]);
    assert_eq!(differs.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!((&line["outcome"], &line["found"]["decision"]), (&json!("differs"), &json!("hold")));

    assert!(installation.run(&["policy", "test", "cases", "--update"]).status.success());
    assert!(installation.run(&["policy", "test", "cases"]).status.success());
}

#[test]
fn mistakes_in_the_policy_are_told_with_their_line() {
    for (more, problem) in [
        ("[policy]\nmode_max = \"full\"", "mode must be shadow, approve or enforce"),
        ("[policy]\nfacts_max_age = \"2d\"", "is not between 60 s and 3600 s"),
        ("[policy]\nhold_limit = \"4m\"", "is not between 300 s and 604800 s"),
        ("[policy]\nhold_limit = \"8d\"", "is not between 300 s and 604800 s"),
        ("[policy]\nmax_targets = 0", "0 is not between 1 and 10000"),
        ("[policy]\nwindows_server = \"maybe\"", "is none of the three"),
        ("[policy]\nblast_radius = [{ max = 0, period = \"1h\" }]", "0 is not between 1 and 1000000"),
        (
            "[policy]\nblast_radius = [{ max = 1, period = \"1h\", keys = [\"user\"] }]",
            "is not hash, device, source or rule",
        ),
        ("[policy.guards]\nos = \"warn\"", "is nothing that a guard can be set to"),
        ("[policy.guards]\nage = \"off\"", "is not a key of this section"),
        ("[policy.approvers]\nos = 3", "3 is not 1 or 2"),
        ("[[policy.protected_devices]]\ntag = \"x\"\nowner = \"o\"", "is missing"),
        ("[[policy.protected_devices]]\nowner = \"o\"\nreason = \"r\"", "names no device"),
        (
            "[[policy.protected_devices]]\nname = \"*\"\nowner = \"o\"\nreason = \"r\"",
            "protects every device or none",
        ),
        (
            "[[policy.change_freezes]]\ndays = [\"someday\"]\nfrom = \"00:00\"\nuntil = \"01:00\"\nreason = \"r\"",
            "is no day",
        ),
        (
            "[[policy.change_freezes]]\nfrom = 2026-12-20T00:00:00Z\nuntil = 2026-12-01T00:00:00Z\nreason = \"r\"",
            "is not after from",
        ),
        ("[policy]\nnever_quarantine = \"gone.txt\"", "gone.txt"),
        ("[policy]\nnever_quarantine = \"bad.txt\"", "line 2: cannot be read"),
    ] {
        let installation = Installation::new("http://127.0.0.1:9", more);
        installation.write("bad.txt", "# a comment\n2222222222bbbbbbbbbb2222222222bbbbbbbbbb never it-ops\n");
        let output = installation.run(&["check"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{more}: {told}");
        assert!(told.contains(problem), "{more}: {told}");
    }
}

#[test]
fn how_long_a_hold_waits_is_said_for_all_sources_or_for_one() {
    let limit = |more: &str, of_source: &str| {
        let installation = Installation::new("http://127.0.0.1:9", more);
        installation.edit("[sources.soc.policy]", &format!("[sources.soc.policy]{of_source}"));
        let policies = load(&installation.config(), Secrets::Read).unwrap().dispatch.policies;
        let policy = policies.into_values().next().unwrap();
        (policy.guards.hold_limit.as_mins(), policy.version())
    };
    let (by_default, version) = limit("", "");
    assert_eq!(by_default, 24 * 60);
    let (for_all, other) = limit("[policy]\nhold_limit = \"5m\"", "");
    assert_eq!(for_all, 5);
    assert_ne!(version, other, "the record names another policy");
    let (for_one, _) = limit("[policy]\nhold_limit = \"5m\"", "\nhold_limit = \"7d\"");
    assert_eq!(for_one, 7 * 24 * 60);
}

#[test]
fn the_global_mode_shows_where_a_sources_mode_does() {
    let installation = Installation::new("http://127.0.0.1:9", "[policy]\nmode_max = \"shadow\"");
    let output = installation.run(&["check"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("mode shadow (the source's is enforce; [policy] mode_max lowers it)"), "{told}");
    let output = installation.run(&["check", "--json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let source = json!({"source": "soc", "mode": "shadow", "source_mode": "enforce", "mode_max": "shadow"});
    assert_eq!(all["sources"], json!([source]));
}
