# elastic-security: detection alert of Elastic Security 8 and 9 (documents of .alerts-security.alerts-*), as Kibana's webhook
# connector sends them: one, an array, {"alerts": [...]}, or run together (body = "concatenated").
# Shape: Elastic Common Schema (elastic/ecs, rfcs/text/0031/example-alert.json); the body as in elastic/kibana issue 141176.
#
# One document is one device. Field names come dotted ("kibana.alert.uuid") or nested. The file of the document is its target; a
# document without one that is about a process has the process's image, unless its signature is trusted or it lies in the folder
# of Windows. Parents and loaded libraries are never targets.

def hash_of($object): $object | at("hash") | {sha1: at("sha1"), sha256: at("sha256"), md5: at("md5")};
def is_trusted: [at("code_signature") | one_or_many | at("trusted")] | any(. == true);

one_or_many
| (if (dotted("context.alerts") | type) == "array" then dotted("context.alerts")[] elif (at("alerts") | type) == "array" then .alerts[] else . end)
| (at("_source") // .)
| dotted("file") as $file
| dotted("process") as $process
| [dotted("event.category") | texts] as $category
| (if [dotted("kibana.alert.workflow_status"), dotted("kibana.alert.status")] | any(. == "closed" or . == "recovered") then "resolved" else null end) as $settled
| {dns_name: ((dotted("host.name") | given) // dotted("host.hostname")), ip: ([dotted("host.ip")[]?] | only_ip)} as $machine
| [
    (if $file == null then empty else {
      file: (hash_of($file) + {name: ($file | at("name"))}),
      role: "file",
      found_at: {machine: "$.host.name", file: "$.file.hash"},
      why: ($settled // if $file | at("Ext") | at("quarantine_result") == true then "remediated" elif hash_of($file) | has_hash then null else "no_hash" end)
    } end),
    (if $process == null then empty else {
      file: (hash_of($process) + {name: ($process | at("name"))}),
      role: "process",
      found_at: {machine: "$.host.name", file: "$.process.hash"},
      why: ($settled
        // if $file != null then "process_image"
           elif $process | at("executable") | in_windows then "system_file"
           elif ($process | is_trusted) or ($category | any(. == "process" or . == "malware" or . == "intrusion_detection") | not) then "process_image"
           elif hash_of($process) | has_hash then null
           else "no_hash" end)
    } end),
    ($process | at("parent") | select(at("hash") != null) | {file: {name: at("name")}, role: "parent", found_at: {file: "$.process.parent.hash"}, why: "parent"}),
    (dotted("dll") | enumerated | {file: {name: (.value | at("name"))}, role: "image_loaded", found_at: {file: "$.dll[\(.key)]"}, why: "loaded_image"})
    | . + {machine: $machine}
  ] as $evidence
| {
    alert_id: dotted("kibana.alert.uuid"),
    severity: (dotted("kibana.alert.severity") | severity_word),
    title: dotted("kibana.alert.rule.name"),
    occurred_at: at("@timestamp"),
    url: dotted("kibana.alert.url"),
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
