# stix-observed-data: bundle of STIX 2.1 (or 2.0) with observed-data.
# Shape: OASIS, "STIX Version 2.1", observed-data, sighting and file; the asset of a device as in the OCA extension x-oca-asset.
#
# Each observed-data pairs itself: its files were on its asset. It is a target where a sighting says that what was observed is an
# indicator or malware; observation alone is no verdict. Indicators, malware and reports are intelligence: what to look for, on no
# device. The image of a process is another file.

(.objects | if type == "array" then . else [] end) as $objects
| ([$objects[] | objects | select(.id != null) | {key: .id, value: .}] | by_key) as $index
| [$objects[] | select(.type == "sighting") | select([.sighting_of_ref | strings | startswith("indicator--") or startswith("malware--")] | any) | .observed_data_refs | texts] as $sighted
| [$objects[] | select(.type == "indicator") | {name: (.name // .pattern), role: null, why: "indicator", found_at: .id}] as $indicators
| ([$objects[] | select(.type == "observed-data")] | if length > 0 then .[] else null end) as $observed
| (if $observed == null then [] elif ($observed.objects | type) == "object" then [$observed.objects | to_entries[] | {key, value}] else [$observed.object_refs | texts | {key: ., value: $index[.]} | select(.value != null)] end) as $seen
| [$seen[] | .value | select(.type == "process") | .image_ref // .binary_ref | values] as $images
| [$seen[] | .value | select(.type == "x-oca-asset") | {dns_name: .hostname, ip: ([.ip_refs | texts | ($index[.] // ([$seen[] as $s | select($s.key == .) | $s.value][0])) | at("value")] | only_ip)}] as $machines
| [
    $seen[] | select(.value.type == "file") | .key as $id | .value
    | {
        file: (([.hashes | objects | to_entries[] | {algorithm: .key, value: .value}] | hash_set) + {name}),
        role: (if $images | any(. == $id) then "process" else "file" end),
        found_at: {file: $id},
        why: (if $images | any(. == $id) then "process_image"
              elif $observed.id as $o | $sighted | any(. == $o) | not then "not_malicious"
              else null end)
      }
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $evidence
| {
    alert_id: (($observed | at("id")) // .id),
    severity: null,
    title: (([$objects[] | select(.type == "sighting") | $index[.sighting_of_ref // ""] | at("name") | values] | only) // "observed data"),
    occurred_at: ($observed | at("last_observed")),
    url: null,
    targets: [],
    unpaired: {machines: $machines, files: ($evidence | taken_files)},
    left_out: (($evidence | left) + $indicators)
  }
