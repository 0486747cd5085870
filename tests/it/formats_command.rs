//! `formats test` and `formats try`, and the keys of a source that say how payloads are read.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::binary::{Installation, command};
use crate::harness::{MACHINE, SHA1};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn feed(arguments: &[&str], payload: &str) -> Output {
    let mut command = command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A user's own format: one field each, in a shape of their own.
const OWN: &str = "{alert_id: .nr, severity: (.level | severity_word), targets: [{machine: {id: .pc}, file: (.hash | hashes)}]}";

fn own_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("format.jq"), OWN).unwrap();
    let case = folder.path().join("one-hash");
    fs::create_dir(&case).unwrap();
    let payload = json!({"nr": 7, "level": "High", "pc": MACHINE, "hash": format!("SHA1={SHA1}")});
    fs::write(case.join("payload.json"), payload.to_string()).unwrap();
    folder
}

fn test(folder: &Path, more: &[&str]) -> Output {
    command(&[&["formats", "test", folder.to_str().unwrap()], more].concat()).output().unwrap()
}

#[test]
fn golden_files_of_an_own_format_are_written_compared_and_told_apart() {
    let folder = own_folder();
    let missing = test(folder.path(), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(out(&missing).starts_with("differs "), "{}", out(&missing));

    let updated = test(folder.path(), &["--update"]);
    assert_eq!(updated.status.code(), Some(0), "{}", err(&updated));
    assert!(out(&updated).starts_with("updated "), "{}", out(&updated));
    let expected = folder.path().join("one-hash/expected.json");
    let kept: Value = serde_json::from_slice(&fs::read(&expected).unwrap()).unwrap();
    assert_eq!(kept["alerts"][0]["targets"][0]["machine"], json!({"id": MACHINE}));
    assert_eq!(kept["alerts"][0]["targets"][0]["file"], json!({"sha1": SHA1}));
    assert_eq!(kept["alerts"][0]["severity"], "high");

    let same = test(folder.path(), &["--json"]);
    assert_eq!(same.status.code(), Some(0));
    let line: Value = serde_json::from_str(&out(&same)).unwrap();
    assert_eq!(line["outcome"], "ok");

    fs::write(&expected, fs::read_to_string(&expected).unwrap().replace("high", "low")).unwrap();
    let differs = test(folder.path(), &["--json"]);
    assert_eq!(differs.status.code(), Some(1));
    let line: Value = serde_json::from_str(&out(&differs)).unwrap();
    assert_eq!(line["outcome"], "differs");
    assert_eq!(line["expected"]["alerts"][0]["severity"], "low");
    assert_eq!(line["found"]["alerts"][0]["severity"], "high");
    assert!(err(&differs).contains("1 of 1 cases"), "{}", err(&differs));
}

#[test]
fn a_folder_without_cases_or_format_is_told() {
    let folder = TempDir::new().unwrap();
    let empty = test(folder.path(), &[]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(err(&empty).contains("holds no case"), "{}", err(&empty));
    let case = folder.path().join("x");
    fs::create_dir(&case).unwrap();
    fs::write(case.join("payload.json"), "{}").unwrap();
    assert!(err(&test(folder.path(), &[])).contains("--format"), "{}", err(&test(folder.path(), &[])));
    assert_eq!(
        out(&test(folder.path(), &["--format", "bridge"])).lines().next().unwrap().split(' ').next(),
        Some("differs")
    );
}

#[test]
fn the_repository_s_own_golden_files_pass_the_command() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/elastic-security");
    let output = test(&data, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(out(&output).lines().all(|line| line.starts_with("ok ")));
}

#[test]
fn a_format_is_tried_on_standard_input() {
    let folder = own_folder();
    let format = folder.path().join("format.jq");
    let payload = json!({"nr": 7, "level": "High", "pc": MACHINE, "hash": SHA1}).to_string();

    let tried = feed(&["formats", "try", format.to_str().unwrap(), "--json"], &payload);
    assert_eq!(tried.status.code(), Some(0), "{}", err(&tried));
    let tried: Value = serde_json::from_str(&out(&tried)).unwrap();
    assert_eq!(tried["answers"][0]["alert_id"], 7);
    assert_eq!(tried["result"]["alerts"][0]["targets"][0]["file"]["sha1"], SHA1);

    let text = feed(&["formats", "try", format.to_str().unwrap()], &payload);
    assert!(
        out(&text).contains("the format answers") && out(&text).contains("which becomes"),
        "{}",
        out(&text)
    );

    let nothing = feed(&["formats", "try", "qradar-offense", "--json"], r#"{"id": 1}"#);
    assert_eq!(nothing.status.code(), Some(1));
    let nothing: Value = serde_json::from_str(&out(&nothing)).unwrap();
    assert_eq!(nothing["result"]["left_out"][0]["why"], "no_file");
    assert_eq!(feed(&["formats", "try", "nothing"], "{}").status.code(), Some(1));
    fs::write(&format, "\n.a = 1").unwrap();
    assert!(err(&feed(&["formats", "try", format.to_str().unwrap()], "{}")).contains("line 2"));
}

#[test]
fn run_together_and_crossed_payloads_can_be_tried() {
    let one = |id: &str| {
        json!({"alert_id": id, "targets": [], "unpaired": {"machines": [{"dns_name": "ws1"}, {"dns_name": "ws2"}], "files": [{"sha1": SHA1}]}}).to_string()
    };
    let both = one("a") + &one("b");
    assert_eq!(feed(&["formats", "try", "bridge", "--json"], &both).status.code(), Some(1));
    let tried = feed(&["formats", "try", "bridge", "--json", "--concatenated", "--cross-max", "2"], &both);
    let tried: Value = serde_json::from_str(&out(&tried)).unwrap();
    assert_eq!(tried["result"]["alerts"][1]["targets"].as_array().unwrap().len(), 2);
    let held = feed(&["formats", "try", "bridge", "--json", "--concatenated"], &both);
    let held: Value = serde_json::from_str(&out(&held)).unwrap();
    assert_eq!(held["result"]["alerts"][0]["targets"][0]["candidates"].as_array().unwrap().len(), 2);
}

#[test]
fn explain_shows_what_is_ambiguous_and_what_was_left_out() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.edit("format = \"bridge\"", "format = \"graph-alert-v2\"");
    let device =
        |id: &str| json!({"@odata.type": "#microsoft.graph.security.deviceEvidence", "mdeDeviceId": id});
    let file = |verdict: &str, sha1: &str| json!({"@odata.type": "#microsoft.graph.security.fileEvidence", "verdict": verdict, "fileDetails": {"sha1": sha1, "fileName": verdict}});
    let other = MACHINE.replace(['1', '2', '3'], "7");
    let payload = json!({"id": "a", "severity": "high", "title": "t", "createdDateTime": "2026-03-01T11:58:01Z",
        "evidence": [device(MACHINE), device(&other), file("malicious", SHA1), file("unknown", SHA1)]});
    installation.write("alert.json", &payload.to_string());

    let text = out(&installation.run(&["explain", "alert.json", "--source", "soc"]));
    assert!(text.contains("one of") && text.contains(&other), "{text}");
    assert!(text.contains("not_malicious") && text.contains("unknown"), "{text}");
    let json = out(&installation.run(&["explain", "alert.json", "--source", "soc", "--json"]));
    let explained: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(explained["left_out"][0]["why"], "not_malicious");
    assert_eq!(explained["alerts"][0]["targets"][0]["role"], "file");
    assert_eq!(explained["alerts"][0]["targets"][0]["machine"]["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(explained["answers"][0]["alert_id"], "a");
}

#[test]
fn the_keys_for_bodies_and_pairing_are_checked() {
    let wrong = [
        ("body = \"two\"", "sources.soc.body", "concatenated"),
        ("pair = \"all\"", "sources.soc.pair", "stated"),
        ("pair = \"cross\"", "sources.soc.cross_max", "missing"),
        ("pair = \"cross\"\ncross_max = 1", "sources.soc.cross_max", "2 to 100"),
        ("pair = \"cross\"\ncross_max = 101", "sources.soc.cross_max", "2 to 100"),
        ("cross_max = 5", "sources.soc.cross_max", "take it away"),
    ];
    for (keys, key, word) in wrong {
        let installation = Installation::new("http://127.0.0.1:9", "");
        installation.edit("format = \"bridge\"", &format!("format = \"bridge\"\n{keys}"));
        let output = installation.run(&["check"]);
        assert_eq!(output.status.code(), Some(78), "{keys}");
        assert!(err(&output).contains(key) && err(&output).contains(word), "{keys}: {}", err(&output));
    }
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.edit(
        "format = \"bridge\"",
        "format = \"bridge\"\nbody = \"concatenated\"\npair = \"cross\"\ncross_max = 20",
    );
    let output = installation.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}
