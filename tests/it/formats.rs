//! Formats read real shapes, and take nothing that is not meant.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use quarantine_bridge::mapping::{BUILT_IN, BuiltIn, Cancel, Format, Mapped, golden, map};
use serde_json::{Value, json};

fn format(name: &str) -> Format {
    Format::load(name, BuiltIn::named(name).unwrap().code).unwrap()
}

fn read(format: &Format, payload: &[u8]) -> Mapped {
    match map(format, payload, &Cancel::default()) {
        Ok(mapped) => mapped,
        Err(error) => error.into(),
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Every case under tests/data/<format>/. `UPDATE=1` writes the expected files anew; look at the difference
/// before you keep it.
#[test]
fn every_golden_payload_maps_as_expected() {
    #[expect(clippy::disallowed_methods, reason = "asked for by whoever runs this test by hand")]
    let update = std::env::var_os("UPDATE").is_some();
    let mut cases = 0;
    for built_in in BUILT_IN {
        let format = format(built_in.name);
        let mut folders: Vec<_> =
            fs::read_dir(data().join(built_in.name)).unwrap().map(|it| it.unwrap().path()).collect();
        folders.sort();
        for folder in folders {
            let mapped = golden(&read(&format, &fs::read(folder.join("payload.json")).unwrap()));
            let expected = folder.join("expected.json");
            if update {
                fs::write(&expected, serde_json::to_string_pretty(&mapped).unwrap() + "\n").unwrap();
            }
            let expected: Value = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
            assert_eq!(mapped, expected, "{}", folder.display());
            cases += 1;
        }
    }
    eprintln!("{} formats, {cases} payloads", BUILT_IN.len());
    assert!(cases >= 2 * BUILT_IN.len());
}

/// Real published payloads lie beside the repository on some machines. Where they do, they are read too.
#[test]
fn published_payloads_map_without_a_wrong_target() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
    if !samples.is_dir() {
        eprintln!("NOT RUN: there are no published payloads beside the repository ({})", samples.display());
        return;
    }
    let pairs = |name: &str, path: &str| {
        let mapped = read(&format(name), &fs::read(samples.join(path)).unwrap());
        let pairs = mapped.alerts.iter().flat_map(|alert| &alert.targets);
        pairs.map(|pair| format!("{} {}", pair.machine.key(), pair.file.key())).collect::<Vec<_>>()
    };
    assert_eq!(
        pairs("defender-alert", "mde/alert_docs_user_process_file.json"),
        ["id:111e6dd8c833c8a052ea231ec1b19adaf497b625 sha1:8563f95b2f8a284fc99da44500cd51a77c1ff36c"]
    );
    assert_eq!(pairs("defender-alert", "mde/alert_evidence_placeholder_hashes.json"), [""; 0]);
    assert_eq!(pairs("graph-alert-v2", "graph/alerts_v2_list_docs_example.json"), [""; 0]);
    assert_eq!(
        pairs("graph-alert-v2", "_synthetic_hard/graph_2hosts_3files.json"),
        [
            "id:11111111aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa sha1:0123456789abcdef0123456789abcdef01234567",
            "id:22222222bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb sha1:89abcdef0123456789abcdef0123456789abcdef",
            "id:22222222bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb sha256:abababababababababababababababababababababababababababababababab",
        ]
    );
}

/// Whatever sample any format is given, it ends well.
#[test]
fn every_format_survives_every_payload() {
    let mut payloads = Vec::new();
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
    let mut folders = vec![data(), shared];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "json") {
                payloads.push(fs::read(path).unwrap());
            }
        }
    }
    assert!(payloads.len() >= 20);
    for built_in in BUILT_IN {
        let format = format(built_in.name);
        for payload in &payloads {
            read(&format, payload);
        }
    }
}

/// A built-in format with the shared definitions in front is plain jq: the name of each function that it
/// calls is jq's own or shared.
#[test]
fn a_standalone_format_loads_like_the_bare_one() {
    for built_in in BUILT_IN {
        assert!(Format::load(built_in.name, &built_in.standalone()).is_ok(), "{}", built_in.name);
    }
}

fn graph_alert(order: &[usize]) -> Value {
    let path = data().join("graph-alert-v2/two-devices-three-files/payload.json");
    let mut alert: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let evidence = alert["evidence"].as_array().unwrap().clone();
    let shuffled: Vec<_> = order.iter().map(|index| evidence[index % evidence.len()].clone()).collect();
    alert["evidence"] = json!(shuffled);
    alert
}

fn sorted_pairs(mapped: &Mapped) -> Vec<String> {
    let pairs = mapped.alerts.iter().flat_map(|alert| &alert.targets);
    let mut pairs: Vec<_> = pairs.map(|pair| format!("{} {}", pair.machine.key(), pair.file.key())).collect();
    pairs.sort();
    pairs
}

proptest! {
    #[test]
    fn the_order_of_evidence_never_changes_a_pairing(order in Just([0, 1, 2, 3, 4, 5, 6, 7]).prop_shuffle()) {
        let format = format("graph-alert-v2");
        let plain = read(&format, graph_alert(&[0, 1, 2, 3, 4, 5, 6, 7]).to_string().as_bytes());
        let shuffled = read(&format, graph_alert(&order).to_string().as_bytes());
        prop_assert_eq!(sorted_pairs(&shuffled), sorted_pairs(&plain));
    }

    #[test]
    fn no_bytes_make_a_format_panic(payload: Vec<u8>) {
        for built_in in BUILT_IN {
            read(&format(built_in.name), &payload);
        }
    }

    #[test]
    fn no_target_has_an_id_that_the_payload_did_not_hold(machine in "[0-9a-f]{40}", sha1 in "[0-9a-fA-F]{40}") {
        let payload = json!({"alert_id": "a", "targets": [{"machine": machine, "file": sha1}]}).to_string();
        let mapped = read(&format("bridge"), payload.as_bytes());
        for pair in sorted_pairs(&mapped) {
            prop_assert_eq!(pair, format!("id:{} sha1:{}", machine, sha1.to_lowercase()));
        }
    }
}
