# datadog: signal of Datadog Cloud SIEM or Workload Protection, sent by the webhooks integration with the template of docs/formats.md.
# Shape: Datadog documentation, "Webhooks" (variables SECURITY_SIGNAL_*, SECURITY_RULE_*) and "Workload Protection events" (file.hashes).
#
# The body is the user's template, so that ours is read: the signal's attributes as they are, or as a text. Hashes are
# "sha1:<hex>" in file.hashes; process.file.hashes is another file. The device is the tag host:.., then the attribute host.name.

unwrapped
| (if (.attributes | type) == "string" then .attributes | json_text else .attributes end) as $a
| [(.tags | if type == "string" then split(",")[] else one_or_many end), ($a | at("tags") | one_or_many) | strings | trim | select(startswith("host:")) | ltrimstr("host:")] as $tagged
| ($a | dotted("file")) as $file
| ([$a | dotted("file.hashes") | texts] | join(",") | hashes) as $hashes
| (if .status == "archived" or .test == true then (if .test == true then "test" else "resolved" end) else null end) as $settled
| [
    (if $file == null and $hashes == {sha1: null, sha256: null, md5: null} then empty else {
      file: ($hashes + {name: (($a | dotted("file.name")) // ($a | dotted("file.path") | basename))}),
      role: "file",
      found_at: {file: "$.attributes.file.hashes"},
      why: ($settled
        // if $a | dotted("file.path") | in_windows then "system_file"
           elif $a | dotted("file.path") | is_unix_path then "not_windows"
           elif $hashes | has_hash then null
           else "no_hash" end)
    } end),
    ($a | dotted("process.file") | objects | {file: {name: at("name")}, role: "process", found_at: {file: "$.attributes.process.file"}, why: "process_image"})
  ] as $evidence
| {
    alert_id: (.id | given),
    severity: (.severity | severity_word),
    title: ((.title | given) // .rule),
    occurred_at: .timestamp,
    url: .url,
    targets: [],
    unpaired: {
      machines: (if $tagged != [] then [$tagged[] | {dns_name: ., found_at: "$.tags"}]
        else [$a | dotted("host.name") | texts | {dns_name: ., found_at: "$.attributes.host.name"}] end),
      files: ($evidence | taken_files)
    },
    left_out: ($evidence | left)
  }
