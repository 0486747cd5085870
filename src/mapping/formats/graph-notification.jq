# graph-notification: Microsoft Graph change notification for security/alerts_v2, v1.0 of 2026.
# Shape: Microsoft Learn, "changeNotification resource type"; for lifecycleEvent "Reduce missing subscriptions and change
# notifications".
#
# It holds the alert's address and nothing of the alert: the answer is the id of the alert to fetch (docs/graph-notifications.md).
# An encryptedContent beside it is not read.

.value | enumerated | .key as $i | .value
| if .lifecycleEvent != null then {lifecycle: .lifecycleEvent, subscription: .subscriptionId}
  else
    (.resource | if type == "string" then ltrimstr("/") else "" end) as $resource
    | if (.changeType == "created" or .changeType == "updated") and ($resource | startswith("security/alerts_v2/")) then
        {fetch: ($resource | ltrimstr("security/alerts_v2/")), found_at: "$.value[\($i)].resource"}
      else
        {
          alert_id: (.resource | if type == "string" then split("/")[-1] else null end),
          targets: [],
          left_out: [{
            name: .resource, role: null, why: (if .changeType == "deleted" then "update" else "reference_only" end),
            found_at: "$.value[\($i)].resource"
          }]
        }
      end
  end
