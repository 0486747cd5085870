# splunk-webhook: webhook alert action of Splunk Enterprise and Cloud, 9 and 10.
# Shape: Splunk documentation, "Use a webhook alert action"; a published delivery (zulip/zulip, webhooks/splunk, search_one_result).
#
# One delivery is one row of the search's result. sid is the run of the search, so the row's number is put behind it. The row's
# file_hash may be an MD5, a SHA1 or "SHA1=..,MD5=..", and several values make an array: files and devices of one row that come as
# arrays have no pairing. process_hash and parent_process_hash are other files. dest is the device; then Computer; host is the
# last resort: where a collector forwards events, host is the collector.

.sid as $sid
| .search_name as $title
| .results_link as $url
| .result | objects
| (if .dest != null then {at: "dest", of: .dest} elif .Computer != null then {at: "Computer", of: .Computer}
   elif .ComputerName != null then {at: "ComputerName", of: .ComputerName} else {at: "host", of: .host} end) as $device
| ([.file_name | texts] | only) as $name
| (if .action | is_dealt_with then "remediated" else null end) as $settled
| ([.file_path | texts] | any(in_windows)) as $system
| [
    (.file_hash | texts | {file: (hashes + {name: $name}), role: "file", found_at: {file: "$.result.file_hash"}, why: ($settled // if $system then "system_file" else null end)}),
    (.process_hash | texts | {file: {name: .}, role: "process", found_at: {file: "$.result.process_hash"}, why: "process_image"}),
    (.parent_process_hash | texts | {file: {name: .}, role: "parent", found_at: {file: "$.result.parent_process_hash"}, why: "parent"})
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $evidence
| {
    alert_id: (if ($sid | type) == "string" then "\($sid):\(._serial // "0")" else null end),
    severity: ((.severity // .urgency) | severity_word),
    title: $title,
    occurred_at: ._time,
    url: $url,
    targets: [],
    unpaired: {
      machines: [$device.of | texts | {dns_name: ., found_at: "$.result.\($device.at)"}],
      files: ($evidence | taken_files)
    },
    left_out: ($evidence | left)
  }
