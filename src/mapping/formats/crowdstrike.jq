# crowdstrike: detection of CrowdStrike Falcon of 2026: an alert of the Alerts API v2, a detection summary of the event stream, or
# the same in Falcon Data Replicator.
# Shape: elastic/integrations, packages/crowdstrike/data_stream/alert/sample_event.json; panther-labs/panther-analysis,
# rules/crowdstrike_rules/crowdstrike_detection_passthrough.yml.
#
# A detection is about one process image on one device. SHA1 is often all zeros: then the SHA256 counts. Files that Falcon has
# quarantined, parents, images in the folder of Windows, and the sample detection are no targets. aid is Falcon's own id.

def device: {dns_name: .host, ip: ([.ip] | only_ip)};

unwrapped
| .metadata as $metadata
| (if (.event | type) == "object" then .event
     | {
         id: (.CompositeId // .DetectId),
         host: (.Hostname // .ComputerName),
         ip: .LocalIP,
         sha1: .SHA1String, sha256: .SHA256String, md5: .MD5String,
         name: .FileName, path: "\(.FilePath // "")\\\(.FileName // "")",
         severity: (.SeverityName // .Severity),
         title: (.Name // .DetectName),
         time: ($metadata | at("eventCreationTime")),
         seconds: .ProcessStartTime,
         at: "$.event.SHA256String",
         platform: .PlatformName,
         command: .CommandLine,
         url: .FalconHostLink,
         quarantined: ((.PatternDispositionFlags | at("QuarantineFile")) == true or .PatternDispositionValue == 2176),
         parent: .ParentImageFileName
       }
   else
     {
       id: .composite_id,
       host: (.device | at("hostname")),
       ip: (.device | at("local_ip")),
       sha1, sha256, md5,
       name: .filename, path: .filepath,
       severity: (.severity_name // .severity),
       title: (.display_name // .name),
       time: .created_timestamp,
       at: "$.sha256",
       platform: ((.device | at("platform_name")) // .platform),
       command: .cmdline,
       url: .falcon_host_link,
       quarantined: ((.pattern_disposition_details | at("quarantine_file")) == true or .pattern_disposition == 2176),
       closed: (.status | is_over),
         cleared: ([.status, .resolution, (.tags | texts)] | is_cleared),
       parent: (.parent_details | at("filename"))
     }
   end)
| ([.command | strings | contains("CROWDSTRIKE_SAMPLE_DETECTION")] | any) as $sample
| [
    {
      machine: device,
      file: {sha1, sha256, md5, name: (.name | basename)},
      role: "process",
      found_at: {machine: .at, file: .at},
      why: (if $sample then "test"
            elif .closed == true then "resolved"
            elif .cleared == true then "not_malicious"
            elif .quarantined then "remediated"
            elif (.platform != null and .platform != "Windows") or (.path | is_unix_path) then "not_windows"
            elif .path | in_windows then "system_file"
            elif has_hash then null
            else "no_hash" end)
    },
    (.parent | strings | {file: {name: basename}, role: "parent", found_at: {file: "parent"}, why: "parent"})
  ] as $evidence
| {
    alert_id: .id,
    severity: ((.severity | severity_word) // (.severity | severity_band([[80, "critical"], [60, "high"], [40, "medium"], [20, "low"], [6, "informational"]]))),
    title,
    occurred_at: (.time // .seconds),
    url,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
