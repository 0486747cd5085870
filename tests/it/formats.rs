//! Built-in formats read real payloads and nothing that is not meant.

use std::fs;
use std::path::Path;

use quarantine_bridge::mapping::{BuiltIn, Cancel, Format, MapError, Mapped, map};

pub(crate) fn format(name: &str) -> Format {
    let built_in = BuiltIn::named(name).expect("a built-in format");
    Format::load(name, built_in.code).expect("a built-in format loads")
}

#[track_caller]
fn read(name: &str, payload: &[u8]) -> Mapped {
    map(&format(name), payload, &Cancel::default()).expect("the payload maps")
}

/// The published payloads are not in the repository; where they lie beside it, they are read.
fn sample(path: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/samples")
        .join(path);
    fs::read(path).ok()
}

fn pairs(mapped: &Mapped) -> Vec<String> {
    let pairs = mapped.alerts.iter().flat_map(|alert| &alert.targets);
    pairs
        .map(|pair| format!("{} {}", pair.machine.key(), pair.file.key()))
        .collect()
}

#[test]
fn tmp_samples() {
    if let Some(bytes) = sample("mde/alert_docs_user_process_file.json") {
        println!("{:#?}", read("defender-alert", &bytes));
    }
    for name in [
        "graph/alerts_v2_list_docs_example.json",
        "_synthetic_hard/graph_2hosts_3files.json",
    ] {
        if let Some(bytes) = sample(name) {
            let m = map(&format("graph-alert-v2"), &bytes, &Cancel::default());
            println!("{m:#?}");
            if let Ok(m) = m {
                println!("{:?}", pairs(&m));
            }
        }
    }
    let _: Option<MapError> = None;
}
