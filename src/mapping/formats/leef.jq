# leef: IBM Log Event Extended Format (LEEF:1.0 and 2.0) as a text inside JSON: in message, _raw, raw, leef or event.original.
# Shape: IBM documentation, "LEEF event components" and "Predefined LEEF event attributes".
#
# Attributes are separated by a tab, or by the character that LEEF 2.0 names. The file is fileHash, sha1, sha256 or md5; the device
# identHostName, or dstHostName if they agree. Hashes of parents have other names and are not read.

one_or_many
| . as $whole
| [if type == "string" then . else (.message, ._raw, .raw, .leef, dotted("event.original")) end | strings | select(contains("LEEF:"))][0]
| select(. != null)
| (split("LEEF:")[1:] | join("LEEF:") / "|") as $header
| ($header[0] | startswith("2")) as $two
| (if $two then $header[5] | if . == "" or . == null or . == "\\t" or . == "x09" or . == "0x09" then "\t" elif . == "x5E" or . == "0x5E" then "^" elif . == "x7C" or . == "0x7C" then "|" else . end else "\t" end) as $by
| ($header[(if $two then 6 else 5 end):] | join("|") | split($by)) as $pairs
| ([$pairs[] | split("=") | select(length > 1) | {key: (.[0] | trim), value: (.[1:] | join("=") | trim)}] | by_key) as $a
| [
    ([$a.fileHash | strings | hashes] + [{sha1: $a.sha1, sha256: $a.sha256, md5: $a.md5}] | {sha1: ([.[].sha1 | values] | unique), sha256: ([.[].sha256 | values] | unique), md5: ([.[].md5 | values] | unique)})
    | select([.sha1[], .sha256[], .md5[]] | length > 0)
    | {
        file: {sha1: (.sha1 | only), sha256: (.sha256 | only), md5: (.md5 | only), name: (($a.fileName // $a.filePath) | basename)},
        role: "file",
        found_at: {file: "fileHash"},
        why: (if [$a.action | strings | ascii_downcase] | any(contains("quarantine") or contains("delete") or contains("cleaned")) then "remediated" else null end)
      }
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
  ] as $evidence
| {
    alert_id: ($a.externalId // $a.alertId),
    severity: (($a.sev | severity_word) // ($a.sev | severity_band([[9, "critical"], [7, "high"], [4, "medium"], [1, "low"]]))),
    title: ($a.name // $header[4]),
    occurred_at: ($a.devTime // ($whole | at("_time") // at("@timestamp"))),
    url: null,
    targets: [],
    unpaired: {
      machines: [[$a.identHostName, $a.dstHostName | values] | unique[] | {dns_name: ., found_at: "identHostName, dstHostName"}],
      files: ($evidence | taken_files)
    },
    left_out: ($evidence | left)
  }
