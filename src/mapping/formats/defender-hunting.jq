# defender-hunting: AlertEvidence rows of Microsoft Defender XDR's streaming API (Event Hub, storage), schema of 2026.
# Shape: Microsoft Learn, "AlertEvidence table in the advanced hunting schema" and "Stream events to Azure Event Hubs".
#
# The rows of one alert are put together. A row's device is its DeviceId, or Host.MachineId in AdditionalFields, a text with JSON.
# Its targets are File rows that are Impacted and that have a threat family or are Detected. Hashes of parents deeper in
# AdditionalFields, MergeByKeyHex and rows of mailboxes are never read.

def machine_id: if type == "string" and length == 40 then . else null end;

[
  (if type == "object" and (.records | type) == "array" then .records else . end) | enumerated
  | .key as $i | .value
  | select(.category == null or .category == "AdvancedHunting-AlertEvidence")
  | (.properties // .)
  | select(.AlertId != null)
  | (.AdditionalFields | json_text) as $more
  | ($more | at("DetectionStatus")) as $status
  | {
      alert: {id: .AlertId, severity: .Severity, title: .Title, time: .Timestamp},
      machine: {id: ((.DeviceId | machine_id) // ($more | at("Host") | at("MachineId") | machine_id)), dns_name: .DeviceName},
      file: ({sha1: .SHA1, sha256: .SHA256, name: .FileName} | if has_hash then . else
        ([$more | at("FileHashes") | enumerated | .value | {algorithm: .Algorithm, value: .Value}] | hash_set) + {name} end),
      role: ({"File": "file", "Process": "process"}[.EntityType] // "hash"),
      found_at: {machine: "$.records[\($i)].properties.DeviceId", file: "$.records[\($i)].properties.SHA1"},
      why: (if .EntityType == "Process" then "process_image"
            elif .EntityType != "File" then "not_on_device"
            elif [$status, ($more | at("RemediationStatus"))] | any(. == "Prevented" or . == "Blocked" or . == "Remediated") then "remediated"
            elif .EvidenceRole != "Impacted" or ((.ThreatFamily | given) == null and $status != "Detected") then "not_malicious"
            else null end)
    }
  | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
]
| group_by(.alert.id)[]
| {
    alert_id: .[0].alert.id,
    severity: (.[0].alert.severity | severity_word),
    title: .[0].alert.title,
    occurred_at: .[0].alert.time,
    url: "https://security.microsoft.com/alerts/\(.[0].alert.id)",
    targets: taken,
    left_out: left
  }
