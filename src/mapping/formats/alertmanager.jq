# alertmanager: webhook of Prometheus Alertmanager (version 4), and of Grafana Alerting 9 to 12, which has the same shape.
# Shape: Prometheus documentation, "Alertmanager configuration", webhook_config; a published delivery
# (keephq/keep, tests/providers/grafana_provider/test_grafana_v12_webhook.py).
#
# Each alert pairs itself by its labels, which your rule sets: machine_id, hostname or host for the device (instance is the exporter,
# read last, without its port), and sha1, sha256, md5 or file_hash for the file. Resolved alerts and test messages have no target.

.alerts | enumerated | .key as $i | .value
| (.labels // {}) as $l
| (if .status == "resolved" then "resolved"
   elif $l.alertname == "TestAlert" and $l.instance == "Grafana" then "test"
   else null end) as $settled
| [{
    machine: {id: $l.machine_id, dns_name: (($l.hostname | given) // ($l.host | given) // (if ($l.instance | type) == "string" then $l.instance | split(":")[0] else null end))},
    file: (([{algorithm: "sha1", value: $l.sha1}, {algorithm: "sha256", value: $l.sha256}, {algorithm: "md5", value: $l.md5}] | hash_set) as $named
      | (if $named | has_hash then $named else $l.file_hash | hashes end) + {name: $l.file_name}),
    role: "file",
    found_at: {machine: "$.alerts[\($i)].labels", file: "$.alerts[\($i)].labels"},
    why: $settled
  } | if .why == null and (.file | has_hash | not) then . + {why: "no_hash"} else . end] as $evidence
| {
    alert_id: .fingerprint,
    severity: (($l.severity | severity_word) // ($l.severity | severity_in({"warning": "medium", "error": "high", "page": "critical"}))),
    title: ($l.alertname // .annotations.summary),
    occurred_at: .startsAt,
    url: .generatorURL,
    targets: ($evidence | taken),
    left_out: ($evidence | left)
  }
