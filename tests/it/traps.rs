//! Every finding and every trap that published payloads taught is covered by a payload or a test.

use std::fs;

use serde_json::Value;

use crate::formats::data;
use crate::{formats, hostile, pairing};

/// What one finding or trap is covered by.
struct Covered {
    what: &'static str,
    /// Payloads under tests/data, `format/case`.
    payloads: &'static [&'static str],
    /// Tests of other files.
    tests: &'static [fn()],
}

const FINDINGS: &[Covered] = &[
    Covered {
        what: "40 hexadecimal digits prove nothing",
        tests: &[pairing::an_id_taken_for_a_hash_is_refused_in_every_way_to_pair],
        payloads: &[
            "defender-siem/external-id-is-never-read",
            "defender-hunting/device-in-nested-json",
            "bridge/sha1-equal-to-the-machine-id",
            "graph-alert-v2/authenticode-process-parent-and-loose-hash",
        ],
    },
    Covered {
        what: "evidence is not a verdict",
        tests: &[],
        payloads: &[
            "graph-alert-v2/detected-but-verdict-unknown",
            "defender-alert/process-only-is-no-target",
            "defender-hunting/mailbox-related-and-process-rows",
            "elastic-security/file-without-hash-never-falls-back-to-process",
        ],
    },
    Covered {
        what: "items are paired, lists are never zipped",
        tests: &[
            formats::rows_of_a_search_are_never_zipped,
            pairing::several_devices_make_every_file_ambiguous,
        ],
        payloads: &["splunk-webhook/several-values-on-both-sides", "splunk-webhook/hash-without-any-host"],
    },
    Covered {
        what: "placeholders look like hashes",
        tests: &[],
        payloads: &[
            "crowdstrike/alerts-v2-with-zero-sha1",
            "alertmanager/redacted-and-short-hashes",
            "wazuh/syscheck-empty-file-placeholder",
            "defender-alert/placeholder-hash",
        ],
    },
    Covered {
        what: "SHA1 is often missing while SHA256 is there",
        tests: &[],
        payloads: &[
            "cortex-xdr/file-of-an-event",
            "crowdstrike/event-stream",
            "graph-alert-v2/two-devices-three-files",
            "cortex-xsoar/file-hash-and-two-devices",
        ],
    },
    Covered {
        what: "only Microsoft's sources carry a machine id",
        tests: &[],
        payloads: &[
            "google-secops/two-events-each-with-its-device",
            "sentinelone/threat-not-mitigated",
            "bridge/every-name-of-a-device-and-file",
        ],
    },
    Covered {
        what: "one field, several forms",
        tests: &[formats::rows_of_a_search_are_never_zipped],
        payloads: &[
            "splunk-webhook/sysmon-hashes-and-dest",
            "splunk-webhook/md5-and-host-only",
            "graylog/fields-with-prefixed-hash",
        ],
    },
];

const TRAPS: &[Covered] = &[
    Covered {
        what: "1: null and empty are nothing",
        tests: &[],
        payloads: &[
            "defender-alert/without-evidence",
            "defender-siem/external-id-is-never-read",
            "sentinelone/threat-not-mitigated",
        ],
    },
    Covered {
        what: "2: one object where an array belongs",
        tests: &[],
        payloads: &[
            "defender-alert/evidence-flattened-to-one-object",
            "cortex-xdr/events-as-one-object-and-processes-only",
        ],
    },
    Covered {
        what: "3: renamed and lower-cased keys",
        tests: &[],
        payloads: &["sentinelone/activity-lower-cased", "graylog/backlog-messages-pair-themselves"],
    },
    Covered {
        what: "4: dotted keys",
        tests: &[],
        payloads: &[
            "elastic-security/dotted-keys-file-alert",
            "elastic-security/nested-keys-process-alert",
            "datadog/attributes-as-text-with-dotted-keys",
        ],
    },
    Covered { what: "5: keys with spaces", tests: &[], payloads: &["wazuh/defender-1116-has-no-hash"] },
    Covered {
        what: "6: JSON in a text",
        tests: &[
            hostile::json_text_that_nests_without_end_is_no_evidence,
            hostile::json_text_in_json_text_in_json_text_is_read_no_deeper_than_a_format_asks,
            hostile::references_in_a_circle_end,
        ],
        payloads: &[
            "sentinel-alert/references-at-any-depth",
            "defender-hunting/device-in-nested-json",
            "datadog/attributes-as-text-with-dotted-keys",
        ],
    },
    Covered {
        what: "7: doubled backslashes and entities",
        tests: &[],
        payloads: &["wazuh/sysmon-1-process-with-doubled-backslashes"],
    },
    Covered {
        what: "8: Defender's events have no hash",
        tests: &[],
        payloads: &["wazuh/defender-1116-has-no-hash"],
    },
    Covered {
        what: "9: upper-case hashes",
        tests: &[],
        payloads: &["wazuh/sysmon-7-loaded-image", "sentinel-alert/references-at-any-depth"],
    },
    Covered {
        what: "10: names of algorithms",
        tests: &[],
        payloads: &[
            "stix-observed-data/sighted-on-an-asset",
            "ocsf-detection-finding/file-process-and-actor",
            "crowdstrike/event-stream",
            "cef/md5-and-two-hosts",
        ],
    },
    Covered {
        what: "11: truncated machine ids",
        tests: &[pairing::a_device_that_cannot_be_read_does_not_make_another_the_only_one],
        payloads: &["defender-hunting/machine-id-of-32-digits-is-none"],
    },
    Covered {
        what: "12: large numbers and keys that stand twice",
        tests: &[
            hostile::numbers_keep_every_digit_and_none_is_too_large,
            hostile::a_key_that_stands_twice_refuses_the_payload,
        ],
        payloads: &["sentinelone/star-rule-with-a-large-id"],
    },
    Covered {
        what: "13: ids that are not the alert's",
        tests: &[],
        payloads: &[
            "splunk-webhook/md5-and-host-only",
            "panther/context-of-one-file",
            "thehive/single-observable",
            "graph-alert-v2/incident-with-alerts",
        ],
    },
    Covered {
        what: "14: ids that need care",
        tests: &[],
        payloads: &[
            "splunk-es/notable",
            "elastic-defend/malware-not-quarantined",
            "insightidr/process-start",
        ],
    },
    Covered {
        what: "15: severity in many scales",
        tests: &[hostile::severities_outside_a_table_are_unknown],
        payloads: &[
            "thehive/alert-with-observables",
            "sentinelone/star-rule-with-a-large-id",
            "alertmanager/instance-and-machine-id-labels",
            "cortex-xdr/file-of-an-event",
        ],
    },
    Covered {
        what: "16: times in many forms",
        tests: &[hostile::times_are_read_in_every_form_that_is_clear],
        payloads: &[
            "wazuh/sysmon-7-loaded-image",
            "sentinelone/activity-lower-cased",
            "sumologic/signal",
            "cortex-xsoar/without-fields",
        ],
    },
    Covered {
        what: "17: already handled",
        tests: &[],
        payloads: &[
            "graph-alert-v2/already-dealt-with",
            "sentinel-incident/mde-device-id-at-the-top-and-prevented",
            "crowdstrike/alerts-v2-quarantined",
            "alertmanager/two-alerts-one-resolved",
            "thehive/update-of-a-case",
        ],
    },
    Covered {
        what: "18: wrong platform",
        tests: &[],
        payloads: &["elastic-defend/linux-host", "sentinelone/list-of-mitigated-suspicious-linux"],
    },
    Covered {
        what: "19: test messages",
        tests: &[],
        payloads: &[
            "alertmanager/grafana-test-message",
            "crowdstrike/sample-detection-and-system-binary",
            "graylog/test-notification",
            "sentinel-incident/mde-device-id-at-the-top-and-prevented",
        ],
    },
];

#[test]
fn every_finding_and_every_trap_is_covered() {
    assert_eq!((FINDINGS.len(), TRAPS.len()), (7, 19));
    for Covered { what, payloads, tests } in FINDINGS.iter().chain(TRAPS) {
        assert!(payloads.len() + tests.len() > 0, "{what}");
        for case in *payloads {
            let expected = fs::read(data().join(case).join("expected.json"));
            let expected: Value =
                serde_json::from_slice(&expected.unwrap_or_else(|_| panic!("{what}: {case}"))).unwrap();
            assert!(expected["alerts"].is_array(), "{what}: {case}");
        }
    }
}

/// Hashes that stand in payloads to lead astray: of parents, system processes and loaded libraries, before a change, Authenticode,
/// IMPHASH, merge keys and foreign ids.
const DECOYS: &[&str] = &[
    "176d41e15ed58160ff5794cc48cabe66e45ae1ac",
    "14091a9f2461267ee7e02525b4f1f2923f1c9849",
    "51de2b835bd35a67eb32dbcd3d77d4b96e5aa39d",
    "d8fd39d0bbdd2dcf322d8b11390a4c5825b11495",
    "bdaf54d1723d2a028edbc61a59874a6392b92e6e",
    "c00dbbc9dadfbe1e232e93a729dd4752fade0abf",
    "845379edf6284a2fe47a7912c99fc80d4d01e6b5be9c584ad51302fd69fac089",
    "6db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb",
    "e47125968b3b71049fbc4802d1e40a71ea1359decfabacf70b34588037d4ff0c",
    "29fdefe98feb6ccf1607830920797de1369e1e74bd27180c04637993d95965e4",
    "1c467339c960a107ab9ee5ff63b38009797416c964f988b224710773cc38796a",
    "47776fe0424fe68a0747e3cc832755ec98941b3dbcb68da6344eeb8cf3d675ae",
    "4b7cc5694dd3a265bac326eaba31266e",
    "72bb0a20dbae84efcc752cb287357197",
    "865c0c0b4ab0e063e5caa3387c1a8741",
    "b99eb09924d437dbd445a146af8c210a",
];

#[test]
fn decoys_stand_in_payloads_and_never_become_targets() {
    let mut seen = 0;
    for format in fs::read_dir(data()).unwrap() {
        for case in fs::read_dir(format.unwrap().path()).into_iter().flatten() {
            let case = case.unwrap().path();
            let Ok(payload) = fs::read_to_string(case.join("payload.json")) else {
                continue;
            };
            let expected: Value =
                serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
            let (payload, alerts) = (payload.to_ascii_lowercase(), expected["alerts"].to_string());
            for decoy in DECOYS.iter().filter(|decoy| payload.contains(**decoy)) {
                seen += 1;
                assert!(!alerts.contains(decoy), "{}: {decoy}", case.display());
            }
        }
    }
    assert!(seen >= DECOYS.len(), "only {seen} decoys stand in payloads");
}
