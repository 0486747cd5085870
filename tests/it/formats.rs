//! Formats read real shapes, and take nothing that is not meant.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use quarantine_bridge::alert::MachineEntity;
use quarantine_bridge::mapping::{
    BUILT_IN, Body, BuiltIn, Cancel, Format, Mapped, golden, map, on_mapping_thread,
};
use serde_json::{Value, json};

/// The built-in formats, loaded once.
static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(|| BUILT_IN.iter().map(|it| load(it.name)).collect());

fn load(name: &str) -> Format {
    Format::load(name, BuiltIn::named(name).unwrap().code).unwrap()
}

fn format(name: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.name() == name).unwrap()
}

pub(crate) fn read(format: &Format, payload: &[u8]) -> Mapped {
    on_mapping_thread(|| map(format, payload, &Cancel::default()).unwrap_or_else(Into::into)).unwrap()
}

pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A payload with what it must become.
struct Case {
    format: &'static str,
    folder: PathBuf,
    payload: Vec<u8>,
    is_lines: bool,
}

impl Case {
    fn read(&self, payload: &[u8]) -> Mapped {
        if self.is_lines {
            return read(&load(self.format).with_body(Body::Concatenated), payload);
        }
        read(format(self.format), payload)
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for built_in in BUILT_IN {
        let mut folders: Vec<_> =
            fs::read_dir(data().join(built_in.name)).unwrap().map(|it| it.unwrap().path()).collect();
        folders.sort();
        assert!(folders.len() >= 2, "{} has fewer than two payloads", built_in.name);
        for folder in folders {
            let lines = folder.join("payload.ndjson");
            let is_lines = lines.is_file();
            let payload = fs::read(if is_lines { lines } else { folder.join("payload.json") }).unwrap();
            cases.push(Case { format: built_in.name, folder, payload, is_lines });
        }
    }
    cases
}

/// Every case under tests/data/<format>/. `quarantine-bridge formats test tests/data --update` writes the
/// expected files anew; look at the difference before you keep it.
#[test]
fn every_golden_payload_maps_as_expected() {
    let cases = cases();
    let mut hard = 0;
    for case in &cases {
        let source = fs::read_to_string(case.folder.join("source.txt")).unwrap();
        assert!(source.trim().len() > 10, "{}: where is its shape shown?", case.folder.display());
        let expected: Value =
            serde_json::from_slice(&fs::read(case.folder.join("expected.json")).unwrap()).unwrap();
        assert_eq!(golden(&case.read(&case.payload)), expected, "{}", case.folder.display());
        let told =
            expected["refused"].as_array().unwrap().len() + expected["left_out"].as_array().unwrap().len();
        hard += usize::from(told > 0 || expected.to_string().contains("candidates"));
    }
    eprintln!("{} formats, {} payloads, {hard} of them hard cases", BUILT_IN.len(), cases.len());
    assert!(cases.len() >= 4 * BUILT_IN.len());
}

/// A payload of which something is a target, and what its source could have said so that nothing is.
const CLEARED: &[(&str, &str, &str, &str)] = &[
    ("graph-alert-v2", "two-devices-three-files", "/classification", "falsePositive"),
    ("graph-alert-v2", "two-devices-three-files", "/classification", "informationalExpectedActivity"),
    ("graph-alert-v2", "two-devices-three-files", "/status", "Resolved"),
    ("defender-alert", "user-process-and-file", "/classification", "FalsePositive"),
    ("defender-alert", "user-process-and-file", "/classification", "InformationalExpectedActivity"),
    ("defender-alert", "user-process-and-file", "/status", "resolved"),
    ("defender-incident", "two-devices-each-with-its-file", "/alerts/0/classification", "FalsePositive"),
    ("sentinel-alert", "own-rule-and-the-only-host", "/Status", "Dismissed"),
    ("sentinelone", "threat-not-mitigated", "/threatInfo/analystVerdict", "FALSE_POSITIVE"),
    ("sentinelone", "threat-not-mitigated", "/threatInfo/mitigationStatus", "marked_as_benign"),
    ("sentinelone", "threat-not-mitigated", "/threatInfo/incidentStatus", "RESOLVED"),
    ("crowdstrike", "alerts-v2-with-zero-sha1", "/status", "false_positive"),
    ("crowdstrike", "alerts-v2-with-zero-sha1", "/status", "ignored"),
    ("crowdstrike", "alerts-v2-with-zero-sha1", "/resolution", "False Positive"),
    ("crowdstrike", "alerts-v2-with-zero-sha1", "/filepath", "C:/Windows/System32/svchost.exe"),
    ("ocsf-detection-finding", "file-process-and-actor", "/verdict_id", "3"),
    ("ocsf-detection-finding", "file-process-and-actor", "/verdict_id", "10"),
    ("ocsf-detection-finding", "file-process-and-actor", "/disposition_id", "10"),
    ("ocsf-detection-finding", "file-process-and-actor", "/status_id", "5"),
    ("splunk-webhook", "sysmon-hashes-and-dest", "/result/action", "Blocked"),
    ("splunk-webhook", "sysmon-hashes-and-dest", "/result/action", "quarantined"),
    (
        "splunk-es",
        "two-devices-one-file",
        "/result/disposition_label",
        "False Positive - Incorrect Analytic Logic",
    ),
];

#[test]
fn what_its_source_has_taken_back_is_no_target_however_it_is_written() {
    for (name, case, pointer, said) in CLEARED {
        let payload = fs::read(data().join(name).join(case).join("payload.json")).unwrap();
        let mut payload: Value = serde_json::from_slice(&payload).unwrap();
        if payload.is_array() {
            payload = payload[0].take();
        }
        let targets = |payload: &Value| {
            let mapped = read(format(name), payload.to_string().as_bytes());
            mapped.alerts.iter().map(|alert| alert.targets.len()).sum::<usize>()
        };
        assert!(targets(&payload) > 0, "{name}/{case}");
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let said = said.parse().map_or_else(|_| json!(said), |number: i64| json!(number));
        payload.pointer_mut(parent).unwrap()[member] = said.clone();
        assert_eq!(targets(&payload), 0, "{name}: {pointer} {said}");
    }
}

/// What published payloads become: format, file, how often a target is made of it, words of what is told.
const PUBLISHED: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "defender-alert",
        "mde/alert_docs_user_process_file.json",
        &["id:111e6dd8c833c8a052ea231ec1b19adaf497b625 sha1:8563f95b2f8a284fc99da44500cd51a77c1ff36c"],
        &["process_image"],
    ),
    ("defender-alert", "mde/alert_evidence_placeholder_hashes.json", &[], &["found \\\"111\\\""]),
    ("defender-siem", "mde/siem_legacy_alert_v2020.json", &[], &["not_malicious"]),
    (
        "defender-incident",
        "mde/m365d_incident_mimikatz_sha256_null.json",
        &["id:24c222b0b60fe148eeece49ac83910cc6a7ef491 sha1:5de839186691aa96ee2ca6d74f0a38fb8d1bd6dd"],
        &[],
    ),
    (
        "graph-alert-v2",
        "graph/alerts_v2_list_docs_example.json",
        &[],
        &["MsSense.exe", "not_malicious", "parent"],
    ),
    (
        "graph-alert-v2",
        "_synthetic_hard/graph_2hosts_3files.json",
        &[
            "id:11111111aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa sha1:0123456789abcdef0123456789abcdef01234567",
            "id:22222222bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb sha1:89abcdef0123456789abcdef0123456789abcdef",
            "id:22222222bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb sha256:abababababababababababababababababababababababababababababababab",
        ],
        &["not_on_device"],
    ),
    ("sentinel-incident", "sentinel/logicapp_relatedentities_eicar.json", &[], &["no_alert"]),
    ("splunk-webhook", "splunk/webhook_alert_action.json", &[], &["no_target"]),
    ("elastic-security", "elastic/detection_alert_dotted_keys.json", &[], &["regsvr32.exe", "system_file"]),
    ("wazuh", "_synthetic_hard/sysmon_hashes_string.json", &[], &["not_malicious"]),
    ("qradar-offense", "qradar/get_offenses_list.json", &[], &["no_file", "resolved"]),
    ("google-secops", "chronicle/udm_event_mde_assetid.json", &[], &["svchost.exe", "process_image"]),
    ("crowdstrike", "crowdstrike/fdr_event_zero_sha1_panther.json", &[], &["settled", "test"]),
    ("sentinelone", "sentinelone/activity_threat_lowercased_panther.json", &[], &["not_windows"]),
    ("sumologic", "sumologic/insight.json", &[], &["no_file"]),
    ("graylog", "graylog/http_notification_empty_backlog.json", &[], &["no_file"]),
    ("cortex-xsoar", "xsoar/incident_search_result.json", &[], &["no_file"]),
    ("insightidr", "insightidr/alert_v2.json", &[], &["no_file"]),
    ("stix-observed-data", "stix/malicious_email_with_attachment.json", &[], &["indicator"]),
    (
        "cef",
        "cef/splunk_result_raw_cef_fireeye.json",
        &["dns_name:wally md5:41a26255d16d121dc525a6445144b895"],
        &[],
    ),
    ("alertmanager", "monitoring/grafana12_webhook.json", &[], &["settled", "test"]),
];

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples")
}

/// Real published payloads lie beside the repository on some machines. Where they do, they are read too.
#[test]
fn published_payloads_map_without_a_wrong_target() {
    if !samples().is_dir() {
        eprintln!("NOT RUN: there are no published payloads beside the repository ({})", samples().display());
        return;
    }
    for (name, path, targets, words) in PUBLISHED {
        let mapped = read(format(name), &fs::read(samples().join(path)).unwrap());
        assert_eq!(pairs(&mapped), *targets, "{path}");
        let told = golden(&mapped).to_string();
        for word in *words {
            assert!(told.contains(word), "{path}: {word} is not in {told}");
        }
    }
    eprintln!("RUN: {} published payloads", PUBLISHED.len());
}

/// Four rows of one search, one without a host: each row stands for itself (published search results).
#[test]
pub(crate) fn rows_of_a_search_are_never_zipped() {
    let path = samples().join("splunk/search_results_file_hash_three_forms.json");
    if !path.is_file() {
        eprintln!("NOT RUN: there are no published payloads beside the repository ({})", path.display());
        return;
    }
    let results: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let row = |row: &Value| {
        let delivery = json!({"sid": "s", "search_name": "n", "result": row});
        pairs(&read(format("splunk-webhook"), delivery.to_string().as_bytes())).join("")
    };
    assert_eq!(
        results["results"].as_array().unwrap().iter().map(row).collect::<Vec<_>>(),
        [
            "? [] md5:922547e866c89b8f677312df0ccec8ee",
            "dns_name:ec2amaz-ammdnsq sha1:addf120b430021c36c232c99ef8d926aea2acd6b",
            "dns_name:ec2amaz-o4kcuk3 sha1:c1dc24e3e12e3b365d9ed916b408849453f65332",
            "dns_name:ec2amaz-ammdnsq sha256:a364cf9a45f65a5114c47d716d4f88954e4998a6097144de662b9493db791a29",
        ]
    );
}

/// Whatever sample any format is given, it ends well.
#[test]
fn every_format_survives_every_payload() {
    let mut payloads = Vec::new();
    let mut folders = vec![data(), samples()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "json") && !path.ends_with("expected.json") {
                payloads.push(fs::read(path).unwrap());
            }
        }
    }
    assert!(payloads.len() >= 100);
    on_mapping_thread(|| {
        for (index, payload) in payloads.iter().enumerate() {
            // Each payload meets a third of the formats, and each format a third of the payloads.
            for format in FORMATS.iter().skip(index % 3).step_by(3) {
                drop(map(format, payload, &Cancel::default()));
            }
        }
    })
    .unwrap();
}

/// A built-in format with the shared definitions in front is plain jq: the name of each function that it
/// calls is jq's own or shared.
#[test]
fn a_standalone_format_loads_like_the_bare_one() {
    for built_in in BUILT_IN {
        let loaded = Format::load(built_in.name, &built_in.standalone());
        assert!(loaded.is_ok(), "{}: {:?}", built_in.name, loaded.err());
    }
}

/// Each format says in its head what it reads, which version, and where the shape is shown.
#[test]
fn every_format_names_its_product_and_the_source_of_its_shape() {
    for built_in in BUILT_IN.iter().filter(|it| it.name != "bridge") {
        let head: Vec<_> = built_in.code.lines().take_while(|line| line.starts_with('#')).collect();
        let head = head.join("\n");
        assert!(head.starts_with(&format!("# {}: ", built_in.name)), "{}", built_in.name);
        assert!(head.contains("\n# Shape: "), "{}", built_in.name);
        assert!(head.chars().any(|c| c.is_ascii_digit()), "{}: which version?", built_in.name);
    }
}

/// The pairs of all alerts, sorted: `machine file`, or `? [candidates] file` for an ambiguous one.
pub(crate) fn pairs(mapped: &Mapped) -> Vec<String> {
    let all = mapped.alerts.iter().flat_map(|alert| &alert.targets);
    let mut pairs: Vec<_> = all
        .map(|pair| {
            if !pair.machine.key().is_empty() {
                return format!("{} {}", pair.machine.key(), pair.file.key());
            }
            let mut candidates: Vec<_> = pair.candidates.iter().map(MachineEntity::key).collect();
            candidates.sort();
            format!("? [{}] {}", candidates.join(", "), pair.file.key())
        })
        .collect();
    pairs.sort();
    pairs
}

/// Puts every array in a random order, also in JSON inside texts; but not what a format reads as a path.
fn shuffle(value: &mut Value, rng: &mut TestRng) {
    match value {
        Value::Array(items) => {
            for last in (1..items.len()).rev() {
                items.swap(last, usize::try_from(rng.next_u32()).unwrap() % (last + 1));
            }
            for item in items {
                shuffle(item, rng);
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|item| shuffle(item, rng)),
        Value::String(text) if text.starts_with(['[', '{']) => {
            if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
                shuffle(&mut inner, rng);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

/// Evidence that has nothing to do with any file, in the shape of several sources.
fn bystanders() -> Vec<Value> {
    vec![
        json!({"entityType": "User", "accountName": "u", "@odata.type": "#microsoft.graph.security.userEvidence",
               "kind": "Account", "Type": "account", "properties": {"accountName": "u"}, "dataType": "mail",
               "data": "u@corp.example", "key": "account", "values": ["u"], "type": "email-addr", "id": "email-addr--9"}),
        json!({"entityType": "Ip", "ipAddress": "203.0.113.9", "@odata.type": "#microsoft.graph.security.ipEvidence",
               "kind": "Ip", "Type": "ip", "properties": {"address": "203.0.113.9"}, "dataType": "ip",
               "data": "203.0.113.9", "key": "source_ip", "values": ["203.0.113.9"], "type": "ipv4-addr", "id": "ipv4-addr--9"}),
    ]
}

/// The lists in which sources keep evidence.
const EVIDENCE: &[&str] = &[
    "evidence",
    "entities",
    "relatedEntities",
    "Entities",
    "observables",
    "rule_keys_of_interest",
    "objects",
    "evidences",
];

/// Adds bystanders to every list of evidence.
fn add_bystanders(value: &mut Value) {
    let Value::Object(fields) = value else {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(add_bystanders);
        }
        return;
    };
    for (name, item) in fields.iter_mut() {
        let is_evidence = EVIDENCE.contains(&name.as_str());
        match item {
            Value::Array(items) if is_evidence => items.extend(bystanders()),
            Value::String(text) if is_evidence => {
                let mut inner: Value = serde_json::from_str(text).unwrap();
                inner.as_array_mut().unwrap().extend(bystanders());
                *text = inner.to_string();
            }
            other => add_bystanders(other),
        }
    }
}

/// Everything with the form of a hash or machine id in what became of a payload.
fn ids(mapped: &Mapped) -> Vec<String> {
    let mut ids = Vec::new();
    for pair in mapped.alerts.iter().flat_map(|alert| &alert.targets) {
        ids.extend(pair.file.sha1.map(|it| it.to_string()));
        ids.extend(pair.file.sha256.map(|it| it.to_string()));
        ids.extend(pair.file.md5.map(|it| it.to_string()));
        for machine in pair.candidates.iter().chain([&pair.machine]) {
            ids.extend(machine.id.map(|it| it.to_string()));
            ids.extend(machine.aad_device_id.map(|it| it.to_string()));
            ids.extend(machine.dns_name.as_ref().map(|it| it.to_ascii_lowercase()));
        }
    }
    ids
}

#[test]
fn the_order_of_what_an_alert_holds_never_changes_a_pairing() {
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for case in cases().iter().filter(|case| !case.is_lines) {
        let payload: Value = serde_json::from_slice(&case.payload).unwrap();
        let plain = pairs(&case.read(&case.payload));
        for _ in 0..4 {
            let mut shuffled = payload.clone();
            shuffle(&mut shuffled, &mut rng);
            let found = pairs(&case.read(shuffled.to_string().as_bytes()));
            assert_eq!(found, plain, "{}: {shuffled:#}", case.folder.display());
        }
    }
}

#[test]
fn unrelated_evidence_never_changes_a_pairing() {
    let mut changed = 0;
    for case in cases().iter().filter(|case| !case.is_lines) {
        let mut payload: Value = serde_json::from_slice(&case.payload).unwrap();
        let before = payload.clone();
        add_bystanders(&mut payload);
        changed += usize::from(payload != before);
        let found = pairs(&case.read(payload.to_string().as_bytes()));
        assert_eq!(found, pairs(&case.read(&case.payload)), "{}", case.folder.display());
    }
    assert!(changed >= 25, "only {changed} payloads hold a list of evidence");
}

/// A device more can make a pairing uncertain; it can never give a file another device.
#[test]
fn another_device_never_takes_over_a_file() {
    let other = "ffeeddccbbaa99887766554433221100aabbccdd";
    let device = json!({"@odata.type": "#microsoft.graph.security.deviceEvidence", "mdeDeviceId": other,
        "deviceDnsName": "other.corp.example", "kind": "Host", "properties": {"hostName": "other", "MdeDeviceId": other},
        "Type": "host", "HostName": "other", "MdatpDeviceId": other, "dataType": "hostname", "data": "other",
        "key": "hostname", "values": ["other"]});
    let names = ["graph-alert-v2", "sentinel-incident", "sentinel-alert", "thehive", "insightidr"];
    for case in cases().iter().filter(|case| names.contains(&case.format)) {
        let text = String::from_utf8(case.payload.clone()).unwrap();
        let mut payload: Value = serde_json::from_str(&text).unwrap();
        add_to_evidence(&mut payload, &device);
        for pair in pairs(&case.read(payload.to_string().as_bytes())) {
            let was = pairs(&case.read(&case.payload));
            let file = pair.rsplit(' ').next().unwrap();
            let same_or_open = was.contains(&pair)
                || pair.starts_with('?')
                || was.iter().any(|it| it == &format!("? [] {file}"));
            assert!(same_or_open, "{}: {pair}, was {was:?}", case.folder.display());
        }
    }
}

fn add_to_evidence(value: &mut Value, more: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| add_to_evidence(item, more)),
        Value::Object(fields) => {
            for (name, item) in fields.iter_mut() {
                match item {
                    Value::Array(items) if EVIDENCE.contains(&name.as_str()) => items.push(more.clone()),
                    Value::String(text) if name == "Entities" => {
                        let mut inner: Value = serde_json::from_str(text).unwrap();
                        inner.as_array_mut().unwrap().push(more.clone());
                        *text = inner.to_string();
                    }
                    other => add_to_evidence(other, more),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_id_of_a_target_stands_in_the_payload() {
    for case in cases() {
        let text = String::from_utf8(case.payload.clone()).unwrap().to_ascii_lowercase();
        for id in ids(&case.read(&case.payload)) {
            // A host name may be put together of host and domain.
            let parts: Vec<_> = if id.contains(".corp.example") {
                vec![id.split('.').next().unwrap()]
            } else {
                vec![id.as_str()]
            };
            assert!(parts.iter().all(|part| text.contains(part)), "{}: {id}", case.folder.display());
        }
    }
}

#[test]
fn no_bytes_make_a_format_panic() {
    proptest!(ProptestConfig::with_cases(64), |(payload: Vec<u8>, which in 0..BUILT_IN.len())| {
        read(&FORMATS[which], &payload);
    });
}

#[test]
fn no_target_has_an_id_that_the_payload_did_not_hold() {
    proptest!(ProptestConfig::with_cases(64), |(machine in "[0-9a-f]{40}", sha1 in "[0-9a-fA-F]{40}")| {
        let payload = json!({"alert_id": "a", "targets": [{"machine": machine, "file": sha1}]}).to_string();
        let mapped = read(format("bridge"), payload.as_bytes());
        for pair in pairs(&mapped) {
            prop_assert_eq!(pair, format!("id:{} sha1:{}", machine, sha1.to_lowercase()));
        }
    });
}
