# insightidr: alert of Rapid7 InsightIDR, API of 2026 (alerts v1, or investigations' alerts).
# Shape: a published answer (rapid7/insightconnect-plugins, plugins/rapid7_insightidr, get_alert_information.json.resp); the keys of
# InsightIDR's process start events.
#
# rule_keys_of_interest holds lists of values by key, without a pairing. Hashes of process.exe_file are the process's image, those of
# parent_process its parent's.

unwrapped
| [.rule_keys_of_interest | enumerated | .value | {key: (.key | tostring | ascii_downcase), values: [.values | texts]}] as $keys
| def of($name): [$keys[] | select(.key == $name) | .values[]];
  (if .status == "CLOSED" then "resolved" elif .disposition == "BENIGN" or .disposition == "FALSE_POSITIVE" then "not_malicious" else null end) as $settled
| (of("process.exe_path") | any(in_windows)) as $system
| [
    (of("hash")[] | {file: hashes, role: "file", found_at: {file: "hash"}, why: $settled}),
    ({sha1: of("file.hashes.sha1"), sha256: of("file.hashes.sha256"), role: "file", found_at: {file: "file.hashes"}},
     {sha1: of("process.exe_file.hashes.sha1"), sha256: of("process.exe_file.hashes.sha256"), role: "process", found_at: {file: "process.exe_file.hashes"}}
     | . as $set
     | (if ($set.sha1 | length) <= 1 and ($set.sha256 | length) <= 1 then {sha1: $set.sha1[0], sha256: $set.sha256[0]} | select(has_hash)
        elif ($set.sha1 | length) > 0 then $set.sha1[] | {sha1: .}
        else $set.sha256[] | {sha256: .} end) as $file
     | {file: ($file + {name: (if $set.role == "process" then of("process.name") else of("file.name") end | only)}), role: $set.role, found_at: $set.found_at,
        why: ($settled // if $set.role == "process" and $system then "system_file" else null end)}),
    ((of("parent_process.exe_file.hashes.sha1") + of("parent_process.exe_file.hashes.sha256"))[] | {file: {name: .}, role: "parent", found_at: {file: "parent_process"}, why: "parent"})
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $evidence
| {
    alert_id: .rrn,
    severity: (.priority | severity_word),
    title,
    occurred_at: .alerted_at,
    url: null,
    targets: [],
    unpaired: {
      machines: [of("hostname") + of("asset") | unique[] | {dns_name: ., found_at: "$.rule_keys_of_interest"}],
      files: ($evidence | taken_files)
    },
    left_out: (if $evidence == [] then [{name: .title, role: null, why: ($settled // "no_file"), found_at: "$.rule_keys_of_interest"}] else $evidence | left end)
  }
