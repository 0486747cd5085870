# sentinel-alert: row of the SecurityAlert table of Microsoft Sentinel, schema of 2026, one or an array.
# Shape: Microsoft Learn, "Microsoft Sentinel security alert schema reference" and "Entity types reference".
#
# Entities is a text with JSON. An entity is defined ($id) where it is first used, at any depth, and referred to ($ref) later. A
# file goes with its own MdatpDeviceId, its Host, or the only host. Its targets are files that are detected, and, in alerts of
# Sentinel's own rules, the files that the rule names.

def extra($name): .[$name] // (.AdditionalData | at($name));
def device_id: extra("MdatpDeviceId") // extra("MdeDeviceId");
def kind: .Type | if type == "string" then ascii_downcase else null end;
def host: {
  id: device_id,
  aad_device_id: extra("AadDeviceId"),
  dns_name: (extra("DeviceDnsName") // if (.DnsDomain | given) == null then .HostName else "\(.HostName).\(.DnsDomain)" end)
};

unwrapped
| (.ProductName == "Azure Sentinel" or .ProductName == "Microsoft Sentinel") as $by_rule
| (if .Status | is_over then "resolved" else null end) as $settled
| (.Entities | json_text) as $entities
| [$entities | .. | objects] as $all
| ($all | reference_index) as $index
| [$all[] | select(kind == "host") | host] as $hosts
| [
    $entities | enumerated | .key as $i | .value | dereferenced($index) | objects
    | kind as $kind
    | select($kind == "file" or $kind == "process")
    | device_id as $id
    | (.Host | dereferenced($index)) as $host
    | [(extra("DetectionStatus"), extra("Verdict")) | strings | ascii_downcase] as $said
    | {
        machine: (if $id != null then ([$hosts[] | select(.id == $id)] | unique | only) // {id: $id}
                  elif $host != null then ($host | host)
                  else null end),
        file: (([.FileHashes | enumerated | .value | dereferenced($index) | objects | {algorithm: .Algorithm, value: .Value}] | hash_set) + {name: .Name}),
        role: $kind,
        found_at: {machine: "$.Entities[\($i)].Host", file: "$.Entities[\($i)]"},
        why: ($settled
          // if $kind == "process" then "process_image"
             elif $said | any(. == "prevented" or . == "blocked" or . == "remediated") then "remediated"
             elif ($said | any(. == "detected" or . == "malicious")) or ($said == [] and $by_rule) then null
             else "not_malicious" end)
      }
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $files
| {
    alert_id: .SystemAlertId,
    severity: (.AlertSeverity | severity_word),
    title: .DisplayName,
    occurred_at: .TimeGenerated,
    url: .AlertLink,
    targets: ([$files[] | select(.machine != null)] | taken),
    unpaired: {machines: ($hosts | unique), files: ([$files[] | select(.machine == null)] | taken_files)},
    left_out: ($files | left)
  }
