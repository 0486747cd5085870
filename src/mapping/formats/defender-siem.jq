# defender-siem: rows of the retired SIEM API of Microsoft Defender for Endpoint (until 2024), as forwarders still keep them.
# Shape: Microsoft Learn, "Pull Microsoft Defender for Endpoint detections using SIEM REST API".
#
# One row is one file on one device. A row is a target where antivirus gives its threat a name and has not removed it: a row of
# EDR alone names the process that was seen. ExternalId has the form of a SHA1 and is none.

(if type == "object" and (.results | type) == "array" then .results else . end) | one_or_many
| [{
    machine: {id: .DeviceID, dns_name: ((.ComputerDnsName | given) // .MachineName), ip: (.InternalIPv4List | if type == "string" then split(";") else . end | only_ip)},
    file: {sha1: .Sha1, sha256: .Sha256, md5: .Md5, name: .FileName},
    role: "file",
    found_at: {machine: "$.DeviceID", file: "$.Sha1"},
    why: (if .RemediationIsSuccess == true then "remediated"
          elif (.ThreatName | given) == null then "not_malicious"
          elif [.Sha1, .Sha256, .Md5] | any(. != null and . != "") then null
          else "no_hash" end)
  }] as $evidence
| {
    alert_id: .AlertId,
    severity: (.Severity | severity_word),
    title: .AlertTitle,
    occurred_at: .AlertTime,
    url: .LinkToMTP,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
