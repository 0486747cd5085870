# graph-alert-v2: Microsoft Graph security alert, v1.0 of 2026 (GET /security/alerts_v2/{id}, a list of them in value, or
# incidents with their alerts: GET /security/incidents?$expand=alerts).
# Shape: Microsoft Learn, "alert resource type", "incident resource type" and "fileEvidence resource type" (microsoft.graph.security).
#
# A file says itself on which device it was (mdeDeviceId); only if it does not, and the alert names one device, is that device
# taken. Its targets are the files whose verdict is malicious and that Defender has not dealt with yet. Detected is not enough: the
# worked example of the documentation has Defender's own MsSense.exe, detected, verdict unknown.

def kind: (.["@odata.type"] // "") | ltrimstr("#microsoft.graph.security.");
def file: {sha1, sha256, name: .fileName};

unwrapped
| (if (.alerts | type) == "array" then .alerts[] else . end)
| microsoft_settled as $settled
| [
    .evidence | enumerated | .value | select(kind == "deviceEvidence")
    | {id: .mdeDeviceId, aad_device_id: .azureAdDeviceId, dns_name: ((.deviceDnsName | given) // .hostName), ip: ([.lastIpAddress] | only_ip)}
  ] as $devices
| [
    .evidence | enumerated | .key as $i | .value
    | kind as $kind
    | select($kind == "fileEvidence" or $kind == "processEvidence" or $kind == "fileHashEvidence")
    | .mdeDeviceId as $id
    | {
        machine: (if ($id | given) == null then null else ([$devices[] | select(.id == $id)] | unique | only) // {id: $id} end),
        found_at: {machine: "$.evidence[\($i)].mdeDeviceId", file: "$.evidence[\($i)]"}
      } as $place
    | $place + (
        if $kind == "fileEvidence" then {
          file: (.fileDetails // {} | file),
          role: "file",
          why: ($settled
            // if .verdict != "malicious" then "not_malicious"
               elif [.remediationStatus | texts | word] | any(. == "remediated" or . == "prevented" or . == "blocked" or . == "notfound") then "remediated"
               elif .fileDetails // {} | has_hash then null
               else "no_hash" end)
        }
        elif $kind == "processEvidence" then
          {file: (.imageFile // {} | file), role: "process", why: "process_image"},
          (.parentProcessImageFile // empty | {file: file, role: "parent", why: "parent"})
        else {file: {name: .value}, role: "hash", why: "not_on_device"} end
      )
  ] as $evidence
| {
    alert_id: .id,
    severity: (.severity | severity_word),
    title,
    occurred_at: .createdDateTime,
    url: .alertWebUrl,
    targets: ([$evidence[] | select(.machine != null)] | taken),
    unpaired: {
      machines: $devices,
      files: ([$evidence[] | select(.machine == null)] | taken_files)
    },
    left_out: ($evidence | left)
  }
