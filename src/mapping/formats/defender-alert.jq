# defender-alert: Microsoft Defender for Endpoint alert, API of 2026 (GET /api/alerts/{id}, GET /api/alerts?$expand=evidence).
# Shape: Microsoft Learn, "Alert resource type" and "Get alert information by ID API".
#
# One alert names one machine. Its targets are the files that Defender marks as Detected; processes are not files: the worked
# example of the documentation has rundll32.exe as its process.

unwrapped
| .machineId as $machine
| .computerDnsName as $name
| microsoft_settled as $settled
| [
    .evidence | enumerated
    | .key as $i
    | .value
    | select(.entityType == "File" or .entityType == "Process")
    | {
        machine: {id: $machine, dns_name: $name},
        file: {sha1, sha256, name: .fileName},
        role: (.entityType | ascii_downcase),
        found_at: {machine: "$.machineId", file: "$.evidence[\($i)]"},
        why: ($settled
          // if .entityType == "Process" then "process_image"
             elif .detectionStatus | is_dealt_with then "remediated"
             elif .detectionStatus != "Detected" then "not_malicious"
             elif has_hash then null
             else "no_hash" end)
      }
  ] as $evidence
| {
    alert_id: .id,
    severity: (.severity | severity_word),
    title,
    occurred_at: .alertCreationTime,
    url: (if (.id | type) == "string" then "https://security.microsoft.com/alerts/" + .id else null end),
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
