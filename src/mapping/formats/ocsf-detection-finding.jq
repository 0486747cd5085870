# ocsf-detection-finding: OCSF Detection Finding (class 2004), schema 1.1 to 1.5, one or an array.
# Shape: schema.ocsf.io, class detection_finding, objects evidences, file, fingerprint and device.
#
# A piece of evidence goes with its own device, else with the finding's. Its targets are files where the finding or the evidence is
# a true positive (verdict_id 2) or malware is named; processes and the actor are other files. What is blocked, quarantined or
# deleted by its source is dealt with (disposition_id 2 to 6, and 11). What it takes back is none: a false positive, to be disregarded, benign, a
# duplicate (verdict_id 1, 3, 5, 10), or exonerated (disposition_id 10).

def device: {dns_name: ((at("hostname") | given) // at("name")), ip: ([at("ip")] | only_ip)};
def file: ([at("hashes") | enumerated | .value | {algorithm: ({"1": "md5", "2": "sha1", "3": "sha256"}[.algorithm_id | tostring] // .algorithm), value: .value}] | hash_set) + {name: at("name")};

unwrapped | select(.class_uid == null or .class_uid == 2004)
| .device as $device
| .verdict_id as $verdict
| ((.malware | type) == "array" and (.malware | length) > 0) as $malware
| .disposition_id as $disposition
| (if .activity_id == 2 then "update" elif .activity_id == 3 or (.status_id != null and .status_id >= 3 and .status_id <= 6) then "resolved" elif .verdict_id == 6 then "test" else null end) as $settled
| [
    .evidences | enumerated | .key as $i | .value
    | (.device // $device | device) as $machine
    | (.verdict_id // $verdict) as $verdict
    | (.disposition_id // $disposition) as $disposition
    | (
        (.file | objects | {
          file: file,
          role: "file",
          found_at: {machine: "$.device", file: "$.evidences[\($i)].file"},
          why: ($settled
            // if $verdict != 2 and ($malware | not) then "not_malicious"
               elif $verdict == 1 or $verdict == 3 or $verdict == 5 or $verdict == 10 or $disposition == 10 then "not_malicious"
               elif $disposition == 11 or ($disposition != null and $disposition >= 2 and $disposition <= 6) then "remediated"
               elif file | has_hash then null
               else "no_hash" end)
        }),
        (.process | at("file") | objects | {file: file, role: "process", found_at: {file: "$.evidences[\($i)].process.file"}, why: "process_image"}),
        (.actor | at("process") | at("file") | objects | {file: file, role: "parent", found_at: {file: "$.evidences[\($i)].actor.process.file"}, why: "parent"})
      )
    | . + {machine: $machine}
  ] as $evidence
| {
    alert_id: .finding_info.uid,
    severity: (.severity_id | severity_in({"1": "informational", "2": "low", "3": "medium", "4": "high", "5": "critical", "6": "critical"})),
    title: .finding_info.title,
    occurred_at: .time,
    url: .finding_info.src_url,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
