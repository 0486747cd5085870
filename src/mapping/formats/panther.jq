# panther: alert of Panther, sent to a custom webhook, of 2026.
# Shape: Panther documentation, "Custom Webhook Destination".
#
# id is the rule, alertId the alert. alertContext is what the rule's alert_context() returns: its sha1, sha256 and md5, or file_hash,
# are the file, and hostname or host the device; lists have no pairing. p_any_*_hashes hold every hash of an event, also its
# parents' and ids that look like hashes: they are never targets.

def algorithms: "sha1", "sha256", "md5";

(.alertContext | if type == "object" then . else {} end) as $c
| (if .type != null and ([.type] | any(. == "RULE" or . == "SCHEDULED_RULE" or . == "CORRELATION_RULE") | not) then "test" else null end) as $settled
| ([algorithms as $name | {algorithm: $name, value: (([$c[$name] | texts] | only) // null)}] | hash_set) as $one
| [
    # One value of each algorithm is one file; several of one are several files.
    (if [algorithms as $name | [$c[$name] | texts] | length <= 1] | all then $one | select(has_hash)
     else algorithms as $name | $c[$name] | texts | [{algorithm: $name, value: .}] | hash_set end),
    ($c.file_hash | texts | hashes)
    | {file: (. + {name: ([$c.file_name | texts] | only)}), role: "file", found_at: {file: "$.alertContext"}, why: ($settled // if has_hash then null else "no_hash" end)}
  ] as $files
| [
    algorithms as $name | $c["p_any_\($name)_hashes"] | texts
    | {file: {name: .}, role: "hash", found_at: {file: "$.alertContext.p_any_\($name)_hashes"}, why: ($settled // "not_malicious")}
  ] as $any
| {
    alert_id: .alertId,
    severity: (.severity | severity_word),
    title,
    occurred_at: .createdAt,
    url: .link,
    targets: [],
    unpaired: {
      machines: [[($c.hostname, $c.host) | texts] | unique[] | {dns_name: ., found_at: "$.alertContext"}],
      files: ($files | taken_files)
    },
    left_out: (if $files + $any == [] then [{name: .title, role: null, why: ($settled // "no_file"), found_at: "$.alertContext"}] else $files + $any | left end)
  }
