# sentinel-incident: Microsoft Sentinel incident as the trigger of Logic Apps gives it (triggerBody()), connector of 2026.
# Shape: Microsoft Learn, "Microsoft Sentinel connector" and "Entity types reference"; the entities as in a published workshop
# (hisashin0728/SentinelSOARWorkshopJP, Work3.md).
#
# A file goes with its own MdatpDeviceId, else with its hostEntityId; its hashes are entities of their own, named by
# fileHashEntityIds, and ARM ids are compared without case. Its targets are files that Defender calls detected, and, in an
# incident of Sentinel's own analytics rules, the files and hashes that the rule names.

def extra($name): .[$name] // (.additionalData | at($name));
def device_id: extra("MdatpDeviceId") // extra("MdeDeviceId");
def host: {
  id: device_id,
  aad_device_id: extra("AadDeviceId"),
  dns_name: (extra("DeviceDnsName") // if (.dnsDomain | given) == null then .hostName else "\(.hostName).\(.dnsDomain)" end)
};

(at("body") // .) | objects
| .object as $incident
| $incident.properties as $p
| ($p.additionalData | at("alertProductNames")) as $products
| (($products | type) == "array" and ($products | length) > 0 and ($products | all(. == "Azure Sentinel" or . == "Microsoft Sentinel"))) as $by_rule
| (if $p.status == "Closed" then "resolved" else null end) as $settled
| [$p.relatedEntities | enumerated | . + {kind: .value.kind, id: (.value.id | if type == "string" then ascii_downcase else null end), p: .value.properties} | select(.p != null)] as $entities
| [$entities[] | select(.kind == "Host") | {key: (.id // ""), value: (.p | host)}] as $hosts
| ([$entities[] | select(.kind == "FileHash") | {key: (.id // ""), value: {algorithm: .p.algorithm, value: .p.hashValue}}] | by_key) as $hashes
| [
    $entities[] | select(.kind == "File" or .kind == "Process") | .key as $i | .kind as $kind | .p
    | device_id as $id
    | (.hostEntityId | if type == "string" then ascii_downcase else null end) as $host
    | [.fileHashEntityIds | enumerated | .value | ascii_downcase] as $refs
    | [(extra("DetectionStatus"), extra("Verdict")) | strings | ascii_downcase] as $said
    | {
        machine: (if $id != null then ([$hosts[].value | select(.id == $id)] | unique | only) // {id: $id}
                  elif $host != null then ([$hosts[] | select(.key == $host) | .value] | only)
                  else null end),
        file: (([$refs[] | $hashes[.] | values] | hash_set) + {name: (.fileName // .friendlyName)}),
        refs: $refs,
        role: ($kind | ascii_downcase),
        found_at: {machine: "$.object.properties.relatedEntities", file: "$.object.properties.relatedEntities[\($i)]"},
        why: ($settled
          // if $kind == "Process" then "process_image"
             elif $said | any(. == "prevented" or . == "blocked" or . == "remediated") then "remediated"
             elif ($said | any(. == "detected" or . == "malicious")) or ($said == [] and $by_rule) then null
             else "not_malicious" end)
      }
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $files
| [$files[].refs[]] as $used
| [
    $entities[] | select(.kind == "FileHash") | .id as $id | select($used | any(. == $id) | not)
    | {
        file: ([{algorithm: .p.algorithm, value: .p.hashValue}] | hash_set),
        role: "hash",
        found_at: {file: "$.object.properties.relatedEntities[\(.key)]"},
        why: ($settled // if $by_rule then null else "not_malicious" end)
      }
  ] as $loose
| {
    alert_id: ($incident.name // $p.incidentNumber),
    severity: ($p.severity | severity_word),
    title: $p.title,
    occurred_at: $p.createdTimeUtc,
    url: $p.incidentUrl,
    targets: ([$files[] | select(.machine != null)] | taken),
    unpaired: {machines: [$hosts[].value], files: ([$files[] | select(.machine == null)] + $loose | taken_files)},
    left_out: ($files + $loose | left)
  }
