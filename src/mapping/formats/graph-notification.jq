# graph-notification: Microsoft Graph change notification for security/alerts_v2, v1.0 of 2026.
# Shape: Microsoft Learn, "changeNotification resource type".
#
# It holds the alert's address and nothing of the alert, so that it never has a target: docs/formats.md says what to send.

.value | enumerated | .key as $i | .value
| (.resourceData | at("id")) as $id
| {
    alert_id: ($id // (.resource | if type == "string" then split("/")[-1] else null end)),
    severity: null,
    title: "change notification (\(.changeType)) of \(.resource)",
    occurred_at: null,
    url: null,
    targets: [],
    left_out: [{name: .resource, role: null, why: "reference_only", found_at: "$.value[\($i)].resource"}]
  }
