# cortex-xdr: alert of Cortex XDR and XSIAM, as get_alerts_multi_events gives it, API of 2026.
# Shape: demisto/content, Packs/CortexXDR/Integrations/CortexXDRIR README; Palo Alto Networks documentation, "Get Alerts Multi-Events v2".
#
# One alert is one device. Its targets are the files that its events act on (action_file_sha256) and that the agent has not blocked;
# images of processes are other files. There is no SHA1.

def file_of($name; $sha256; $md5): {sha256: ($sha256 | given), md5: ($md5 | given), name: ($name | given)};

(at("reply") // .) | (if (at("alerts") | type) == "array" then .alerts[] else one_or_many end)
| {dns_name: .host_name, ip: ([.host_ip | texts] | only_ip)} as $machine
| (if [.agent_os_type | strings] | any(. != "Windows" and . != "AGENT_OS_WINDOWS") then "not_windows"
   elif [.resolution_status | strings] | any(startswith("STATUS_") and contains("RESOLVED")) then "resolved"
   elif [.action | strings] | any(startswith("BLOCKED") or contains("QUARANTINE")) then "remediated"
   else null end) as $settled
| [
    .events | enumerated | .key as $i | .value
    | (
        (select(.action_file_sha256 != null) | {
          file: file_of(.action_file_name; .action_file_sha256; .action_file_md5), role: "file", found_at: {machine: "$.host_name", file: "$.events[\($i)].action_file_sha256"},
          why: ($settled // if .action_file_path | in_windows then "system_file" else null end)
        }),
        (select(.action_process_image_sha256 != null) | {file: file_of(.action_process_image_name; null; null), role: "process", found_at: {file: "$.events[\($i)].action_process_image_sha256"}, why: "process_image"}),
        (select(.actor_process_image_sha256 != null) | {file: file_of(.actor_process_image_name; null; null), role: "process", found_at: {file: "$.events[\($i)].actor_process_image_sha256"}, why: "process_image"}),
        (select(.causality_actor_process_image_sha256 != null) | {file: file_of(.causality_actor_process_image_name; null; null), role: "parent", found_at: {file: "$.events[\($i)].causality_actor_process_image_sha256"}, why: "parent"})
      )
    | . + {machine: $machine}
  ] as $evidence
| {
    alert_id,
    severity: ((.severity | tostring | ltrimstr("SEV_") | severity_in({"010_info": "informational", "020_low": "low", "030_medium": "medium", "040_high": "high", "050_critical": "critical"})) // (.severity | severity_word)),
    title: .name,
    occurred_at: .detection_timestamp,
    url: null,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
