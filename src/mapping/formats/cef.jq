# cef: ArcSight Common Event Format (CEF:0 and CEF:1) as a text inside JSON: in message, _raw, raw, cef or event.original.
# Shape: OpenText, "ArcSight Common Event Format Implementation Standard"; a published event (opencybersecurityalliance/stix-shifter,
# splunk/tests/stix_translation/test_splunk_json_to_stix.py).
#
# The file is fileHash, whose length tells its algorithm (oldFileHash is the file before a change). The device is dhost, dvchost or
# shost: if they differ, the text does not say which one had the file. Where act says quarantined or deleted, it is dealt with.

def month: {"Jan": "01", "Feb": "02", "Mar": "03", "Apr": "04", "May": "05", "Jun": "06", "Jul": "07", "Aug": "08", "Sep": "09", "Oct": "10", "Nov": "11", "Dec": "12"}[.];

# "Jan 08 2019 15:18:04 Z", else the text itself: milliseconds since 1970.
def cef_time:
  if type != "string" then null
  else split(" ") as [$m, $d, $y, $t, $z]
    | if ($m | month) != null and ($z == "Z" or $z == "UTC" or $z == "GMT") then "\($y)-\($m | month)-\($d)T\($t)Z" else . end
  end;

one_or_many
| . as $whole
| [if type == "string" then . else (.message, ._raw, .raw, .cef, dotted("event.original")) end | strings | select(contains("CEF:"))][0]
| select(. != null)
| (split("CEF:")[1:] | join("CEF:")) as $text
| ($text / "|") as $header
# The extension begins behind the seventh bar; keys follow a space, values may hold spaces.
| (" " + ($header[7:] | join("|"))) as $extension
| def value($key): ($extension / " \($key)=") as $parts | if ($parts | length) == 2 then ($parts[1] / "=") as $v | (if ($v | length) == 1 then $v[0] else ($v[0] / " ")[:-1] | join(" ") end) | trim | given else null end;
  value("act") as $act
| [value("fileHash") | values | {
    file: (hashes + {name: (value("fname") | basename)}),
    role: "file",
    found_at: {file: "fileHash"},
    why: (if $act != null and ($act | ascii_downcase | contains("quarantine") or contains("delete") or contains("cleaned")) then "remediated"
          elif hashes | has_hash then null
          else "malformed_hash" end)
  }] as $evidence
| {
    alert_id: value("externalId"),
    severity: (($header[6] | severity_word) // ($header[6] | severity_band([[9, "critical"], [7, "high"], [4, "medium"], [0, "low"]])) // ($header[6] | severity_in({"very-high": "critical"}))),
    title: $header[5],
    occurred_at: ((value("rt") | cef_time) // ($whole | at("_time") // at("@timestamp"))),
    url: null,
    targets: [],
    unpaired: {
      machines: [[value("dhost"), value("dvchost"), value("shost") | values] | unique[] | {dns_name: ., found_at: "dhost, dvchost, shost"}],
      files: ($evidence | taken_files)
    },
    left_out: ($evidence | left)
  }
