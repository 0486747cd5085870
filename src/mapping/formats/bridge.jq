# bridge: our own plain form.
#
# {"alert_id": "7a1f", "severity": "high", "title": "...", "occurred_at": "2026-01-31T12:00:00Z", "url": "https://...",
#  "targets": [{"machine": {"id": "<40 hex>"}, "file": {"sha1": "<40 hex>"}}]}
#
# A machine may be named by id, aad_device_id, dns_name and ip, a file by sha1, sha256 and md5. A machine or file may also be the
# bare id: {"machine": "<40 hex>", "file": "<40 hex>"}. Devices and files without a stated pairing go into
# "unpaired": {"machines": [...], "files": [...]}. An array holds several alerts.

one_or_many
| {
    alert_id,
    severity,
    title,
    occurred_at,
    url,
    targets: [
      .targets | enumerated
      | .key as $i
      | .value
      | {
          machine: (.machine | if type == "string" then {id: .} else . end),
          file: (.file | if type == "string" then {sha1: .} else . end),
          role,
          found_at: {machine: "$.targets[\($i)].machine", file: "$.targets[\($i)].file"}
        }
    ],
    unpaired
  }
