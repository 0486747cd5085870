# splunk-es: notable (finding) of Splunk Enterprise Security 7 and 8, sent by the webhook alert action.
# Shape: Splunk documentation, "Notable events" and the Common Information Model's Malware and Endpoint data models.
#
# One delivery is one notable: event_id tells it from others. Its files are the values of file_hash, its device dest with dest_dns
# and dest_ip; several values on both sides have no pairing. process_hash and parent_process_hash are other files.

.search_name as $search
| .result | objects
| [.dest | texts] as $dest
| ([.file_name | texts] | only) as $name
| (if .status_label | is_over then "resolved" elif .disposition_label | is_cleared then "not_malicious" elif .action | is_dealt_with then "remediated" else null end) as $settled
| ([.file_path | texts] | any(in_windows)) as $system
| [
    (.file_hash | texts | {file: (hashes + {name: $name}), role: "file", found_at: {file: "$.result.file_hash"}, why: ($settled // if $system then "system_file" else null end)}),
    (.process_hash | texts | {file: {name: .}, role: "process", found_at: {file: "$.result.process_hash"}, why: "process_image"}),
    (.parent_process_hash | texts | {file: {name: .}, role: "parent", found_at: {file: "$.result.parent_process_hash"}, why: "parent"})
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $evidence
| {
    alert_id: .event_id,
    severity: ((.urgency // .severity) | severity_word),
    title: (.rule_title // .rule_name // $search),
    occurred_at: ._time,
    url: null,
    targets: [],
    unpaired: {
      machines: (if ($dest | length) > 1 then [$dest[] | {dns_name: ., found_at: "$.result.dest"}]
        else [{dns_name: (([.dest_dns | texts] | only) // $dest[0]), ip: ([.dest_ip] | only_ip), found_at: "$.result.dest"} | select(.dns_name != null or .ip != null)] end),
      files: ($evidence | taken_files)
    },
    left_out: ($evidence | left)
  }
