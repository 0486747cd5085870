# defender-incident: Microsoft Defender XDR incident, API of 2026 (GET https://api.security.microsoft.com/api/incidents).
# Shape: Microsoft Learn, "List incidents API in Microsoft Defender XDR".
#
# One alert for each of the incident's. An entity says itself on which device it was (deviceId); the alert's devices give the
# name. Its targets are files with the verdict Malicious; where there is no verdict, those of an antivirus detection.

unwrapped | .alerts | enumerated | .key as $a | .value
| [.devices | enumerated | .value | {id: .mdatpDeviceId, aad_device_id: .aadDeviceId, dns_name: .deviceDnsName}] as $devices
| microsoft_settled as $settled
| .detectionSource as $source
| [
    .entities | enumerated | .key as $i | .value
    | select(.entityType == "File" or .entityType == "Process")
    | .deviceId as $id
    | [$devices[] | select(.id == $id)] as $named
    | {
        machine: (if $id == null then null else {
          id: $id,
          aad_device_id: ([$named[].aad_device_id] | unique | only),
          dns_name: ([$named[].dns_name] | unique | only)
        } end),
        file: {sha1, sha256, name: .fileName},
        role: (.entityType | ascii_downcase),
        found_at: {machine: "$.alerts[\($a)].entities[\($i)].deviceId", file: "$.alerts[\($a)].entities[\($i)]"},
        why: ($settled
          // if .entityType == "Process" then "process_image"
             elif [.remediationStatus, .detectionStatus] | any(. == "Remediated" or . == "Prevented" or . == "Blocked") then "remediated"
             elif .verdict != "Malicious" and (.verdict != null or $source != "WindowsDefenderAv") then "not_malicious"
             elif has_hash then null
             else "no_hash" end)
      }
  ] as $evidence
| {
    alert_id: .alertId,
    severity: (.severity | severity_word),
    title,
    occurred_at: .creationTime,
    url: (if (.alertId | type) == "string" then "https://security.microsoft.com/alerts/" + .alertId else null end),
    targets: ([$evidence[] | select(.machine != null)] | taken),
    unpaired: {
      machines: $devices,
      files: ([$evidence[] | select(.machine == null)] | taken_files)
    },
    left_out: ($evidence | left)
  }
