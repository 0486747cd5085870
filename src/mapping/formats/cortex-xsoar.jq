# cortex-xsoar: incident of Cortex XSOAR 6 and 8, as the server's API gives it and a playbook posts it.
# Shape: demisto/content, SearchIncidentsV2 README; incident fields of the Common Types pack (filesha1, filesha256, filemd5, filehash,
# hostnames, devicename).
#
# CustomFields hold one file and its devices without a pairing. rawJSON, a text with the alert of the product that it came from, is
# not read: let that product's own format read it.

one_or_many
| .CustomFields as $c
| (if .status == 2 then "resolved" else null end) as $settled
| [
    ($c | at("filehash") | texts | hashes) as $any
    | $any
  ] as $bare
| (($bare[0] // {sha1: null, sha256: null, md5: null})
   | {sha1: ((([$c | at("filesha1") | texts] | only) // .sha1)), sha256: ((([$c | at("filesha256") | texts] | only) // .sha256)), md5: ((([$c | at("filemd5") | texts] | only) // .md5))}) as $hashes
| ([($c | at("filehash"), at("filesha1"), at("filesha256"), at("filemd5")) | [texts] | length] | any(. > 1)) as $several
| [
    (if $several then
       ($c | at("filesha1"), at("filesha256"), at("filehash")) | texts | hashes
     elif $hashes | has_hash then $hashes
     else empty end)
    | {file: (. + {name: ([$c | at("filename") | texts] | only)}), role: "file", found_at: {file: "$.CustomFields"}, why: $settled}
  ] as $evidence
| {
    alert_id: .id,
    severity: (.severity | severity_in({"0.5": "informational", "1": "low", "2": "medium", "3": "high", "4": "critical"})),
    title: .name,
    occurred_at: .occurred,
    url: null,
    targets: [],
    unpaired: {
      machines: [[($c | at("hostnames"), at("hostname"), at("devicename")) | texts] | unique[] | {dns_name: ., found_at: "$.CustomFields"}],
      files: ($evidence | taken_files)
    },
    left_out: (if $evidence == [] then [{name: .name, role: null, why: ($settled // "no_file"), found_at: "$.CustomFields"}] else $evidence | left end)
  }
