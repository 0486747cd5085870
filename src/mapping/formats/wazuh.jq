# wazuh: alert of Wazuh 4, as alerts.json has it and integratord posts it.
# Shape: Wazuh documentation, "Alert data fields", "File integrity monitoring", "VirusTotal integration"; the rules of wazuh/wazuh.
#
# One alert is one device. What its hashes are of depends on where they stand:
# - Sysmon: event 1 the started process, 6 and 7 the loaded image, 15 and 29 the written file, 23 and 26 a deleted file;
# - syscheck: the file after the change; the stock rules fire on any change and are no verdict, your own rule is one;
# - VirusTotal: the file that it calls malicious;
# - Defender's events (1116, 1117) have no hash at all.
# Images in the folder of Windows are never targets.

def stock_syscheck: {"550": 1, "553": 1, "554": 1, "555": 1, "594": 1, "597": 1, "598": 1, "750": 1, "751": 1, "752": 1};

one_or_many
| (at("_source") // .)
| (.data | at("win")) as $win
| ($win | at("system")) as $system
| ($win | at("eventdata")) as $e
| ($system | at("computer") | given) as $computer
| ((.agent | at("name")) // "") as $agent
| {
    dns_name: ($computer // if .agent | at("id") == "000" then null else $agent end),
    ip: (if $computer == null or ($computer | ascii_downcase | split(".")[0]) == ($agent | ascii_downcase | split(".")[0]) then [.agent | at("ip")] | only_ip else null end)
  } as $machine
| ($system | at("eventID") | tostring) as $event
| (if $event == "1" then {role: "process", path: ($e | at("image"))}
   elif $event == "6" or $event == "7" then {role: "image_loaded", path: ($e | at("imageLoaded"))}
   elif $event == "15" or $event == "29" then {role: "created", path: ($e | at("targetFilename"))}
   elif $event == "23" or $event == "26" then {role: "file", path: ($e | at("targetFilename")), why: "before_change"}
   else {role: "file", why: "not_malicious"} end) as $sysmon
| .syscheck as $fim
| (.data | at("virustotal")) as $vt
| (.rule | at("id") | tostring) as $rule
| [
    (if ($e | at("hashes")) == null then empty else {
      file: (($e | at("hashes") | hashes) + {name: ($sysmon.path | basename)}),
      role: $sysmon.role,
      found_at: {machine: "$.data.win.system.computer", file: "$.data.win.eventdata.hashes"},
      why: ($sysmon.why // if $sysmon.path | in_windows then "system_file" else null end)
    } end),
    (if ($fim | type) != "object" then empty else {
      file: {sha1: $fim.sha1_after, sha256: $fim.sha256_after, md5: $fim.md5_after, name: ($fim.path | basename)},
      role: (if $fim.event == "added" then "created" else "changed" end),
      found_at: {machine: "$.agent.name", file: "$.syscheck.sha1_after"},
      why: (if $fim.event == "deleted" then "before_change"
            elif stock_syscheck[$rule] != null then "not_malicious"
            elif $fim.path | in_windows then "system_file"
            elif $fim.path | is_unix_path then "not_windows"
            else null end)
    } end),
    (if ($vt | type) != "object" then empty else {
      file: (($vt | at("source")) | {sha1: at("sha1"), md5: at("md5"), name: (at("file") | basename)}),
      role: "file",
      found_at: {machine: "$.agent.name", file: "$.data.virustotal.source"},
      why: (if [$vt.malicious] | any(. == "1" or . == 1) | not then "not_malicious"
            elif $vt | at("source") | at("file") | in_windows then "system_file"
            elif $vt | at("source") | at("file") | is_unix_path then "not_windows"
            else null end)
    } end),
    (if $system | at("providerName") == "Microsoft-Windows-Windows Defender" then
      {file: {name: (($e | at("threat Name")) // ($e | at("path")))}, role: "file", found_at: {file: "$.data.win.eventdata"}, why: "no_hash"}
    else empty end)
    | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end
    | . + {machine: $machine}
  ] as $evidence
| {
    alert_id: .id,
    severity: (.rule | at("level") | severity_band([[15, "critical"], [12, "high"], [7, "medium"], [4, "low"], [0, "informational"]])),
    title: (.rule | at("description")),
    occurred_at: .timestamp,
    url: null,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
