# graph-alert-v2: Microsoft Graph security alert, v1.0 of 2026 (GET /security/alerts_v2/{id}, or a list of them in value).
# Shape: Microsoft Learn, "alert resource type" and "fileEvidence resource type" (microsoft.graph.security).
#
# A file says itself on which device it was (mdeDeviceId); only if it does not, and the alert names one device, is that device taken.
# Its targets are the files whose verdict is malicious and that Defender has not dealt with yet. Detected is not enough: the worked
# example of the documentation has Defender's own MsSense.exe, detected, verdict unknown.

def evidence_type($name): select(.value["@odata.type"] == "#microsoft.graph.security." + $name);

(if type == "object" and (.value | type) == "array" then .value else . end)
| one_or_many
| [.evidence | enumerated | evidence_type("deviceEvidence") | .value] as $devices
| (if ($devices | length) == 1 then $devices[0].mdeDeviceId else null end) as $only
| {
    alert_id: .id,
    severity: (.severity | severity_word),
    title,
    occurred_at: .createdDateTime,
    url: .alertWebUrl,
    targets: [
      .evidence | enumerated | evidence_type("fileEvidence")
      | .key as $i
      | .value
      | select(.verdict == "malicious")
      | select([.remediationStatus] | any(. == "remediated" or . == "prevented" or . == "blocked") | not)
      | select(.fileDetails.sha1 != null or .fileDetails.sha256 != null)
      | (.mdeDeviceId // $only) as $machine
      | [$devices[] | select(.mdeDeviceId == $machine) | .deviceDnsName] as $names
      | {
          machine: {id: $machine, dns_name: $names[0]},
          file: {sha1: .fileDetails.sha1, sha256: .fileDetails.sha256, name: .fileDetails.fileName},
          found_at: {machine: "$.evidence[\($i)].mdeDeviceId", file: "$.evidence[\($i)].fileDetails"}
        }
    ]
  }
