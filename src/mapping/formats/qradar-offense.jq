# qradar-offense: offense of IBM QRadar 7.5, as GET /api/siem/offenses gives it and a custom action posts it.
# Shape: a published answer (rapid7/insightconnect-plugins, plugins/ibm_qradar/help.md, Get Offenses).
#
# An offense names no file, so that it never has a target: docs/formats.md says what the custom action should send instead.

unwrapped
| {
    alert_id: .id,
    severity: (.severity | severity_band([[9, "critical"], [7, "high"], [4, "medium"], [2, "low"], [0, "informational"]])),
    title: (.description | if type == "string" then trim else null end),
    occurred_at: .start_time,
    url: null,
    targets: [],
    left_out: [{name: (.offense_source | tostring), role: null, why: (if .status == "CLOSED" then "resolved" else "no_file" end), found_at: "$.offense_source"}]
  }
