# thehive: webhook notification of TheHive 5.
# Shape: StrangeBee documentation, "Notifications"; the fields as in TheHive's webhook examples
# (docs.thehive-project.org, "WebHooks"; objectType, objectId, object, details).
#
# TheHive sends one observable at a time: a hash in one delivery, its device in another, so that a single observable has no target.
# An alert or case with its observables in it is read: hashes and files marked as IoC, and hostnames or fqdns. They have no pairing.
# Only what is created counts.

(.action // .operation) as $action
| .objectType as $type
| .object as $o
| (if [$action] | any(. == "create" or . == "Creation" or . == null) | not then "update" else null end) as $settled
| [($o | at("observables") // at("artifacts")) | enumerated | {at: "$.object.observables[\(.key)]", of: .value}] as $observables
| [
    $observables[] | .at as $at | .of
    | (if .dataType == "hash" then {file: (.data | hashes), role: "hash"}
       elif .dataType == "file" then {file: ((.attachment | at("hashes") | [texts] | join(",") | hashes) + {name: (.attachment | at("name"))}), role: "file"}
       else empty end) as $found
    | $found + {found_at: {file: $at}, why: ($settled // if .ioc != true then "not_malicious" elif $found.file | has_hash then null else "no_hash" end)}
  ] as $evidence
| {
    alert_id: (if [$type] | any(. == "Observable" or . == "case_artifact") then ($o | at("alert") | at("_id")) // ($o | at("_id")) else ($o | at("_id")) // .objectId end),
    severity: ($o | at("severity") | severity_in({"1": "low", "2": "medium", "3": "high", "4": "critical"})),
    title: ($o | at("title")),
    occurred_at: ($o | at("date") // at("_createdAt")),
    url: null,
    targets: [],
    unpaired: {
      machines: [[$observables[] | .of | select(.dataType == "hostname" or .dataType == "fqdn") | .data | texts] | unique[] | {dns_name: ., found_at: "$.object.observables"}],
      files: ($evidence | taken_files)
    },
    left_out: (if $evidence != [] then $evidence | left
      else [{name: ($o | at("title") // at("data")), role: null, why: ($settled // if [$type] | any(. == "Observable" or . == "case_artifact") then "single_observable" else "no_file" end), found_at: "$.object"}] end)
  }
