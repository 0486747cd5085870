# sentinelone: threat of SentinelOne (API 2.1), threat activity as a forwarder lower-cases it, or STAR rule alert of 2026.
# Shape: elastic/integrations, packages/sentinel_one/data_stream/threat/sample_event.json (event.original);
# panther-labs/panther-analysis, rules/sentinelone_rules/sentinelone_threats.yml.
#
# One threat is one file on one device. Its target is a file that SentinelOne calls malicious and has not mitigated. A STAR rule is
# about its source process, never about that process's parent.

def confidence: {"malicious": "high", "suspicious": "medium"}[tostring | ascii_downcase];

unwrapped
| .data as $d
| (if (.threatInfo | type) == "object" then
     .agentRealtimeInfo as $agent | .threatInfo
     | {
         id: .threatId, title: .threatName, time: .createdAt, severity: (.confidenceLevel | confidence),
         machine: {dns_name: ($agent | at("agentComputerName")), ip: ([$agent | at("networkInterfaces") | enumerated | .value | at("inet") | texts] | only_ip)},
         file: {sha1, sha256, md5, name: ((.filePath | basename) // .threatName)}, path: .filePath, role: "file", at: "$.threatInfo.sha1",
         malicious: (.confidenceLevel == "malicious" and ([.analystVerdict, .mitigationStatus] | is_cleared | not)),
         mitigated: (.mitigationStatus == "mitigated" or .mitigationStatus == "blocked" or .mitigatedPreemptively == true),
         resolved: (.incidentStatus | is_over),
         foreign: ([$agent | at("agentOsType")] | any(. != null and . != "windows"))
       }
   elif ($d | at("sourceprocesssha1")) != null or ($d | at("rulename")) != null then
     {
       id: ($d.alertid // $d.alertId), title: $d.rulename, time: (.createdAt // .createdat),
       severity: ($d.severity | severity_in({"e_low": "low", "e_medium": "medium", "e_high": "high", "e_critical": "critical"})),
       machine: {dns_name: $d.origagentname},
       file: {sha1: $d.sourceprocesssha1, sha256: $d.sourceprocesssha256, md5: $d.sourceprocessmd5, name: $d.sourceprocessname},
       path: $d.sourceprocessfilepath, role: "process", at: "$.data.sourceprocesssha1",
       malicious: true, mitigated: false, resolved: false, foreign: ([$d.origagentosfamily | strings | ascii_downcase] | any(. != "windows"))
     }
   else
     {
       id: (.threatid // .threatId), title: (.primarydescription // .primaryDescription), time: (.createdat // .createdAt),
       severity: (($d | at("confidencelevel") // at("confidenceLevel")) | confidence),
       machine: {dns_name: ($d | at("computername") // at("computerName"))},
       file: {sha1: ($d | at("filecontenthash") // at("fileContentHash")), name: ($d | at("filedisplayname") // at("fileDisplayName"))},
       path: ($d | at("filepath") // at("filePath")), role: "file", at: "$.data.filecontenthash",
       malicious: (($d | at("confidencelevel") // at("confidenceLevel")) == "malicious"), mitigated: false, resolved: false, foreign: false
     }
   end)
| [{
    machine,
    file,
    role,
    found_at: {machine: .at, file: .at},
    why: (if .resolved then "resolved"
          elif .malicious | not then "not_malicious"
          elif .mitigated then "remediated"
          elif .foreign or (.path | is_unix_path) then "not_windows"
          elif .path | in_windows then "system_file"
          elif .file | has_hash then null
          else "no_hash" end)
  }] as $evidence
| {
    alert_id: .id,
    severity,
    title,
    occurred_at: .time,
    url: null,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
