# elastic-defend: alert of the Elastic Defend endpoint, 8 and 9 (documents of logs-endpoint.alerts-*), one, an array, or run together.
# Shape: elastic/endpoint-package, package/endpoint/data_stream/alerts/sample_event.json.
#
# Only malware alerts (event.code malicious_file) are about a file; it is the target unless the endpoint has quarantined it. The
# other codes (behavior, memory_signature, shellcode_thread, ransomware) are about processes. dll[] are loaded libraries.

one_or_many
| (at("_source") // .)
| dotted("event.code") as $code
| dotted("file") as $file
| {dns_name: ((dotted("host.name") | given) // dotted("host.hostname")), ip: ([dotted("host.ip")[]?] | only_ip)} as $machine
| (if dotted("host.os.type") != null and dotted("host.os.type") != "windows" then "not_windows" else null end) as $foreign
| [
    (if $file == null then empty else {
      machine: $machine,
      file: (($file | at("hash") | {sha1: at("sha1"), sha256: at("sha256"), md5: at("md5")}) + {name: ($file | at("name"))}),
      role: "file",
      found_at: {machine: "$.host.name", file: "$.file.hash"},
      why: ($foreign
        // if $code != "malicious_file" then "not_malicious"
           elif $file | at("Ext") | at("quarantine_result") == true then "remediated"
           elif $file | at("hash") == null then "no_hash"
           else null end)
    } end),
    (dotted("process") | objects | {file: {name: at("name")}, role: "process", found_at: {file: "$.process"}, why: "process_image"}),
    (dotted("dll") | enumerated | {file: {name: (.value | at("name"))}, role: "image_loaded", found_at: {file: "$.dll[\(.key)]"}, why: "loaded_image"})
  ] as $evidence
| {
    alert_id: dotted("event.id"),
    severity: (dotted("event.severity") | severity_band([[74, "critical"], [48, "high"], [22, "medium"], [0, "low"]])),
    title: at("message"),
    occurred_at: at("@timestamp"),
    url: null,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
