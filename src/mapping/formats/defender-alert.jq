# defender-alert: Microsoft Defender for Endpoint alert, API of 2026 (GET /api/alerts/{id}, GET /api/alerts?$expand=evidence).
# Shape: Microsoft Learn, "Alert resource type" and "Get alert information by ID API".
#
# One alert names one machine. Its targets are the files that Defender marks as Detected; processes are not files: the worked
# example of the documentation has rundll32.exe as its process.

(if type == "object" and (.value | type) == "array" then .value else . end)
| one_or_many
| .machineId as $machine
| .computerDnsName as $name
| {
    alert_id: .id,
    severity: (.severity | severity_word),
    title,
    occurred_at: .alertCreationTime,
    url: (if (.id | type) == "string" then "https://security.microsoft.com/alerts/" + .id else null end),
    targets: [
      .evidence | enumerated
      | .key as $i
      | .value
      | select(.entityType == "File" and .detectionStatus == "Detected")
      | select(.sha1 != null or .sha256 != null)
      | {
          machine: {id: $machine, dns_name: $name},
          file: {sha1, sha256, name: .fileName},
          found_at: {machine: "$.machineId", file: "$.evidence[\($i)]"}
        }
    ]
  }
