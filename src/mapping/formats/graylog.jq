# graylog: HTTP notification of Graylog 5 and 6, with the fields and the backlog of its event definition.
# Shape: a published notification (keephq/keep, keep/providers/graylog_provider/alerts_mock.py); field names of the Graylog
# Information Model, and those of Wazuh alerts whose dots became underscores.
#
# event.source is the Graylog node and never the device. Each message of the backlog pairs itself, and so do the event's own fields.
# Hashes may have their algorithm in front ("SHA256=.."). Wazuh's hashes are of the started process.

.event_definition_title as $title
| (if .event_definition_type == "test-dummy-v1" then "test" else null end) as $settled
| .event as $event
| [
    ({at: "$.event.fields", of: $event.fields}, (.backlog | enumerated | {at: "$.backlog[\(.key)].fields", of: .value.fields}))
    | .at as $at | .of | objects
    | {dns_name: ((.host_hostname | given) // (.agent_name | given) // .data_win_system_computer)} as $machine
    | (
        ([{algorithm: "sha1", of: .hash_sha1}, {algorithm: "sha256", of: .hash_sha256}, {algorithm: "md5", of: .hash_md5} | select((.of | type) == "string" and .of != "")
            | {algorithm, value: (.of | split("=")[-1])}]
          | select(length > 0) | {file: hash_set, role: "file", at: "hash_*"}),
        (.file_hash | texts | {file: hashes, role: "file", at: "file_hash"}),
        (.data_win_eventdata_hashes | texts | {file: hashes, role: "process", at: "data_win_eventdata_hashes"})
      ) as $found
    | {
        machine: $machine,
        file: ($found.file + {name: ((.file_name | given) // (.data_win_eventdata_image | basename))}),
        role: $found.role,
        found_at: {machine: $at, file: "\($at).\($found.at)"},
        why: ($settled // if (.file_path // .data_win_eventdata_image) | in_windows then "system_file" elif $found.file | has_hash then null else "no_hash" end)
      }
  ] as $evidence
| {
    alert_id: $event.id,
    severity: ($event.priority | severity_in({"1": "low", "2": "medium", "3": "high", "4": "critical"})),
    title: $title,
    occurred_at: $event.timestamp,
    url: null,
    targets: ($evidence | taken),
    left_out: (if $evidence == [] then [{name: $title, role: null, why: ($settled // "no_file"), found_at: "$.event.fields"}] else $evidence | left end)
  }
