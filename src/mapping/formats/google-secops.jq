# google-secops: detection of Google SecOps (Chronicle), with its UDM events, of 2026.
# Shape: Google Cloud documentation, "Detection Engine API" and "Unified Data Model field list"; a published event
# (opencybersecurityalliance/stix-shifter, gcp_chronicle, test_gcp_chronicle_json_to_stix.py).
#
# Each event pairs itself: the file of its target was on the target's device if it names one, else on the principal's. An asset id
# "DeviceId:<40 hex>" is Defender's machine id. Its targets are target.file in detections of alerting rules; files of processes are
# other files.

def machine_id: if type == "string" and startswith("DeviceId:") then ltrimstr("DeviceId:") else null end;
def device: {id: ((at("assetId") // (at("asset") | at("assetId"))) | machine_id), dns_name: (at("hostname") // (at("asset") | at("hostname"))), ip: ([at("ip") | texts] | only_ip)};
def is_named: at("hostname") != null or at("assetId") != null or at("asset") != null;
def file: {sha1: at("sha1"), sha256: at("sha256"), md5: at("md5"), name: (at("fullPath") | basename)};

unwrapped
| (.detection | one_or_many) as $rule
| ($rule | at("alertState") == "ALERTING") as $alerting
| (if (.collectionElements | type) == "array" then [.collectionElements[] | .references | enumerated | .value | at("event") | objects] else [.event | objects] end) as $events
| [
    $events | enumerated | .key as $i | .value
    | .principal as $principal
    | .target as $target
    | (if $target | is_named then $target else $principal end | device) as $machine
    | ([.securityResult | one_or_many | at("action") | one_or_many] | any(. == "BLOCK" or . == "QUARANTINE")) as $blocked
    | (
        ($target | at("file") | objects | {
          file: file,
          role: "file",
          found_at: {machine: "event \($i): principal", file: "event \($i): target.file"},
          why: (if $alerting | not then "not_malicious"
                elif $blocked then "remediated"
                elif at("fullPath") | in_windows then "system_file"
                elif at("fullPath") | is_unix_path then "not_windows"
                elif has_hash then null
                else "no_hash" end)
        }),
        ($target | at("process") | at("file") | objects | {file: file, role: "process", found_at: {file: "event \($i): target.process.file"}, why: "process_image"}),
        ($principal | at("process") | at("file") | objects | {file: file, role: "process", found_at: {file: "event \($i): principal.process.file"}, why: "process_image"})
      )
    | . + {machine: $machine}
  ] as $evidence
| {
    alert_id: (.id // (.event | at("metadata") | (at("id") // at("productLogId")))),
    severity: ((($rule | at("severity")) // ([$rule | at("ruleLabels") | enumerated | .value | select(.key == "severity") | .value] | only)) | severity_word),
    title: (($rule | at("ruleName")) // ([.event | at("securityResult") | one_or_many | at("summary")] | only)),
    occurred_at: (.detectionTime // (.event | at("metadata") | at("eventTimestamp"))),
    url: ($rule | at("urlBackToProduct")),
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
