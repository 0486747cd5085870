# What formats have in common, in standard jq: put in front of a format, it runs with any jq.

# --- lists and texts

# One value or an array of them: some forwarders send each element as a delivery of its own.
def one_or_many: if type == "array" then .[] else . end;

# The elements of an array with their index, or the only one; nothing for anything else.
def enumerated: if type == "array" then to_entries[] elif type == "object" then {key: 0, value: .} else empty end;

# What a list in `value` or `data` holds, or the value itself, each by itself.
def unwrapped:
  one_or_many
  | if type == "object" and (.value | type) == "array" then .value[]
    elif type == "object" and (.data | type) == "array" then .data[]
    else . end;

# A text or an array of texts, each text that is not empty.
def texts: one_or_many | strings | select(. != "");

# The only element of an array; null if there are none or several.
def only: if length == 1 then .[0] else null end;

# The text unless it is empty.
def given: if . == "" then null else . end;

# A field of an object; null of anything else.
def at($key): if type == "object" then .[$key] else null end;

# A dotted name, as one literal key or as nested objects: "kibana.alert.uuid".
def step($key): if $key == null then . else at($key) end;
def dotted($name):
  if type == "object" and has($name) then .[$name]
  else ($name / ".") as [$a, $b, $c, $d, $e] | step($a) | step($b) | step($c) | step($d) | step($e) end;

# JSON in a text; null if it is none.
def json_text: if type == "string" then (try fromjson catch null) else . end;

# An object of key and value pairs; a key that stands there twice is nobody's.
def by_key: group_by(.key) | map(select(length == 1) | .[0]) | from_entries;

# Of an array of objects, those that have an $id; and what a $ref refers to.
def reference_index: [.[] | select(has("$id")) | {key: (.["$id"] | tostring), value: .}] | by_key;
def dereferenced($index): if type == "object" and has("$ref") then $index[.["$ref"] | tostring] else . end;

# --- hashes

# The algorithm that a name means; null for others, such as IMPHASH.
def algorithm:
  if type == "string" then
    ascii_downcase
    | if . == "sha1" or . == "sha-1" then "sha1" elif . == "sha256" or . == "sha-256" then "sha256" elif . == "md5" then . else null end
  else null end;

# {sha1, sha256, md5} from an array of {algorithm, value}. Two values of one algorithm: neither.
def hash_set:
  [.[] | select(.value | type == "string") | [(.algorithm | algorithm), (.value | trim | ascii_downcase)]] as $all
  | def of($name): [$all[] | select(.[0] == $name) | .[1]] | if length > 1 then unique | only else .[0] end;
  {sha1: of("sha1"), sha256: of("sha256"), md5: of("md5")};

# The algorithm that a bare hash is of, by its length.
def hash_kind: length | if . == 40 then "sha1" elif . == 64 then "sha256" elif . == 32 then "md5" else null end;

# {sha1, sha256, md5} from a text: "SHA1=..,MD5=..,IMPHASH=..", "sha1:..", or one bare hash.
def hashes:
  if type == "string" then
    [
      split(",")[] | split("=") | (if length == 1 then .[0] | split(":") else . end)
      | if length == 2 then {algorithm: (.[0] | trim), value: .[1]}
        else {algorithm: (join("=") | trim | hash_kind), value: join("=")} end
    ]
    | hash_set
  else {} end;

def has_hash: (.sha1 != null and .sha1 != "") or (.sha256 != null and .sha256 != "") or (.md5 != null and .md5 != "");

# --- severity, to informational, low, medium, high or critical; null for what is none of a table

# A word in any case.
def severity_word:
  if type == "string" then
    ascii_downcase | trim
    | if . == "high" or . == "medium" or . == "low" or . == "critical" or . == "informational" then .
      elif . == "info" then "informational" elif . == "moderate" then "medium" else null end
  else null end;

# A word or number of a source's own table.
def severity_in($table): $table[tostring | ascii_downcase | trim];

# A number, or its text, by the lower ends of bands, the highest first: [[80, "critical"], ...].
def severity_band($bands):
  (if type == "string" then (try tonumber catch null) elif type == "number" then . else null end) as $number
  | [$bands[] | select($number != null and $number >= .[0]) | .[1]] | .[0];

# --- times

# A time of a product that writes UTC without saying so.
def utc:
  if type == "string" and length > 10 and (endswith("Z") or (.[10:] | contains("+") or contains("-")) | not) then . + "Z"
  else . end;

# --- devices and files

# The only address of a list that can be of one device; null if there are several.
def only_ip:
  [texts | select((startswith("127.") or startswith("169.254.") or startswith("::1") or (ascii_downcase | startswith("fe80:"))) | not)]
  | unique | only;

# The last part of a path.
def basename: if type == "string" then [split("\\")[] | split("/")[] | select(. != "")] | .[-1] else null end;

# Says whether a path is in the folder of Windows, with a drive or \Device\HarddiskVolumeN in front.
def in_windows:
  if type == "string" then [split("\\")[] | split("/")[] | select(. != "") | ascii_downcase][:3] | any(. == "windows" or . == "%systemroot%" or . == "%windir%")
  else false end;

# Says whether a path is of Linux or macOS.
def is_unix_path: type == "string" and startswith("/");

# --- what a source or its analysts say about it, in whatever form they write their words

# A word without capitals, spaces, dashes and underscores: "False Positive", "false_positive" and "FalsePositive" are one.
def word: ascii_downcase | split("_") | join("") | split("-") | join("") | split(" ") | join("");

# Says whether a word says that nothing bad is there.
def is_cleared:
  [texts | word]
  | any(startswith("falsepositive") or startswith("benign") or . == "informationalexpectedactivity" or . == "markedasbenign" or . == "notmalicious");

# Says whether a word says that the matter is over.
def is_over:
  [texts | word] | any(. == "resolved" or . == "closed" or . == "dismissed" or . == "ignored" or . == "suppressed" or . == "archived");

# Why nothing of an alert of Microsoft's is a target any more: its status, or an analyst's classification.
def microsoft_settled: if .status | is_over then "resolved" elif .classification | is_cleared then "not_malicious" else null end;

# Says whether every word says that a product has stopped the file. That one was deleted is also said of files that a program deletes.
def is_dealt_with:
  [texts | word] | length > 0
    and (any((. == "blocked" or . == "quarantined" or . == "cleaned" or . == "remediated" or . == "prevented") | not) | not);

# --- evidence: objects {machine, file, role, found_at: {machine, file}, why}; those with a why are no targets

def taken: [.[] | select(.why == null) | {machine, file, role, found_at}];
def taken_files: [.[] | select(.why == null) | .file + {role, found_at: .found_at.file}];
def left: [.[] | select(.why != null) | {name: .file.name, role, why, found_at: .found_at.file}];
