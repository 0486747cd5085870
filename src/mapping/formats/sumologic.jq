# sumologic: insight or signal of Sumo Logic Cloud SIEM, API of 2026.
# Shape: chronicle/content-hub, content/response_integrations/google/sumo_logic_cloud_siem, update_insight_JsonResult_example.json;
# Sumo Logic documentation, "Cloud SIEM schema attributes" for the records.
#
# Each record of a signal is one event: its file_hash_* was on its device_hostname. An insight without its signals' records names no
# file. Times are UTC without saying so.

unwrapped
| (if (.data | type) == "object" then .data else . end)
| (if [.status | one_or_many | if type == "object" then .name else . end] | any(. == "closed") then "resolved" else null end) as $settled
| [.signals | enumerated | .key as $s | .value.allRecords | enumerated | {at: "$.signals[\($s)].allRecords[\(.key)]", of: .value}] as $of_signals
| [.allRecords | enumerated | {at: "$.allRecords[\(.key)]", of: .value}] as $own
| [
    $of_signals[], $own[] | .at as $at | .of
    | {
        machine: {dns_name: .device_hostname, ip: ([.device_ip] | only_ip)},
        file: {sha1: .file_hash_sha1, sha256: .file_hash_sha256, md5: .file_hash_md5, name: ((.file_basename | given) // (.file_path | basename))},
        path: .file_path,
        role: "file",
        found_at: {machine: "\($at).device_hostname", file: "\($at).file_hash_sha1"}
      }
    | select((.file | has_hash) or .file.name != null)
    | . + {why: ($settled
        // if .path | in_windows then "system_file" elif .path | is_unix_path then "not_windows" elif .file | has_hash then null else "no_hash" end)}
  ] as $evidence
| {
    alert_id: ((.readableId | given) // .id),
    severity: ((.severity | severity_word) // (.severity | severity_band([[9, "critical"], [7, "high"], [4, "medium"], [1, "low"]]))),
    title: .name,
    occurred_at: ((.timestamp // .created) | utc),
    url: null,
    targets: ($evidence | taken),
    left_out: (if $evidence == [] then [{name: .name, role: null, why: ($settled // "no_file"), found_at: "$.signals"}] else $evidence | left end)
  }
