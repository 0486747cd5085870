//! The kits' READMEs can be followed: they are complete, their configuration loads, and what they name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use quarantine_bridge::config::{Secrets, load};
use quarantine_bridge::ingest::PRESETS;
use quarantine_bridge::mapping::BuiltIn;

use super::{kit, read};

/// What every kit's README leads through.
const STEPS: [&str; 5] = [
    "## 1. Make the secret",
    "## 2. Configure the source",
    "## 3. Install",
    "## 4. Test",
    "## When it fails",
];

const AROUND: &str = r#"
[store]
path = "bridge.db"
[defender]
tenant_id = "00000000-0000-0000-0000-000000000000"
client_id = "00000000-0000-0000-0000-000000000000"
client_secret = { file = "secret" }
"#;

fn kits() -> BTreeSet<String> {
    let entries = fs::read_dir(kit("")).unwrap().map(Result::unwrap);
    entries.filter(|it| it.path().is_dir()).map(|it| it.file_name().into_string().unwrap()).collect()
}

/// The READMEs with their folder.
fn readmes() -> Vec<(PathBuf, String)> {
    let kits = kits().into_iter().map(|name| (kit(&name), read(&format!("{name}/README.md"))));
    kits.chain([(kit(""), read("README.md"))]).collect()
}

/// The blocks of one language.
fn blocks<'a>(text: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let parts: Vec<&str> = text.split(fence.as_str()).skip(1).collect();
    parts.into_iter().map(|rest| rest.split("\n```").next().unwrap())
}

#[test]
fn every_kit_leads_through_the_same_steps() {
    let kits = kits();
    assert!(kits.len() >= 14, "{kits:?}");
    for name in kits {
        let text = read(&format!("{name}/README.md"));
        let places: Vec<Option<usize>> = STEPS.iter().map(|step| text.find(&format!("\n{step}\n"))).collect();
        assert!(places.iter().all(Option::is_some), "{name}: {places:?}");
        assert!(places.is_sorted(), "{name}: the steps are in another order");
    }
}

#[test]
fn every_configuration_that_a_readme_shows_is_taken() {
    let mut seen = 0;
    for (folder, text) in readmes() {
        for block in blocks(&text, "toml") {
            let folder_of_config = tempfile::tempdir().unwrap();
            let path = folder_of_config.path().join("quarantine-bridge.toml");
            let own = folder_of_config.path().join("own.jq");
            fs::write(&own, include_str!("../../../src/mapping/formats/bridge.jq")).unwrap();
            // A format of the reader's own is not shipped: one that is stands in its place.
            let format_file = format!("format_file = {:?}", own.to_str().unwrap());
            let line = |line: &str| {
                if line.starts_with("format_file") { format_file.clone() } else { line.to_owned() }
            };
            let block = block.lines().map(line).collect::<Vec<_>>().join("\n");
            fs::write(&path, format!("{AROUND}{block}")).unwrap();
            if let Err(complaints) = load(&path, Secrets::Skip) {
                panic!("{}:\n{block}\n{complaints}", folder.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} blocks");
}

#[test]
fn every_link_leads_somewhere() {
    for (folder, text) in readmes() {
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { folder.join("README.md") } else { folder.join(file) };
            let there = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{target}: {error}"));
            let anchor = |line: &str| {
                let plain = |c: char| c.is_alphanumeric() || c == ' ' || c == '-';
                line.trim_start_matches('#')
                    .trim()
                    .to_lowercase()
                    .replace(|c| !plain(c), "")
                    .replace(' ', "-")
            };
            let headings = there.lines().filter(|line| line.starts_with('#')).map(anchor);
            assert!(heading.is_empty() || headings.into_iter().any(|it| it == heading), "{target}");
        }
    }
}

#[test]
fn the_table_of_senders_names_every_kit() {
    let table = read("README.md");
    for name in kits() {
        assert!(table.contains(&format!("[{name}]({name}/README.md)")), "{name} is not in the table");
    }
}

#[test]
fn formats_and_schemes_of_the_table_are_there() {
    let table = read("README.md");
    let rows =
        table.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 4).skip(1);
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        if let Some(format) = cells[3].strip_prefix('`') {
            let name = format.trim_end_matches('`');
            assert!(BuiltIn::named(name).is_some(), "there is no format {name}: {row}");
        }
        let unsigned = ["bearer", "header", "jwt"];
        for scheme in cells[2].split('`').skip(1).step_by(2).filter(|name| !unsigned.contains(name)) {
            assert!(PRESETS.iter().any(|preset| preset.name == scheme), "there is no scheme {scheme}: {row}");
        }
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} senders");
}

#[test]
fn files_that_a_readme_installs_are_in_its_kit() {
    let mut seen = 0;
    for (folder, text) in readmes() {
        let files = text.split(|c: char| c.is_whitespace() || "`()\"@,:;".contains(c));
        let shipped = |name: &&str| {
            let suffixes = [
                ".py",
                ".sh",
                "Bridge.yml",
                ".mustache",
                ".service",
                ".actions.json",
                ".workflow.json",
                "azuredeploy.json",
            ];
            suffixes.iter().any(|suffix| name.ends_with(suffix)) && !name.contains('/')
        };
        for name in files.filter(shipped) {
            assert!(folder.join(name).exists(), "{}: {name}", folder.display());
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} files");
}
