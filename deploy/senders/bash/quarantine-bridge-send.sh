#!/usr/bin/env bash
# Signs one JSON payload by Standard Webhooks and sends it to quarantine-bridge. Needs bash 4, openssl and curl.
#
#     quarantine-bridge-send.sh URL SECRET_FILE PAYLOAD      (PAYLOAD - is standard input)
#
# Exit codes: 0 the bridge has it, 2 wrong arguments, 66 no payload, 69 the bridge is away or refuses, 78 wrong secret.
# QUARANTINE_BRIDGE_CA may name a file of certificates to trust instead of the system's.
set -euo pipefail
umask 077
shopt -s inherit_errexit

fail() { printf '%s\n' "$2" >&2; exit "$1"; }

[[ $# -eq 3 ]] || fail 2 'usage: quarantine-bridge-send.sh URL SECRET_FILE PAYLOAD'
url=$1 secret_file=$2 payload=$3
[[ $url =~ ^https:// || $url =~ ^http://(127\.0\.0\.1|localhost|\[::1\])[:/] ]] ||
  fail 2 'the address must begin with https:// (http:// to this machine only)'
for tool in openssl curl od; do command -v "$tool" > /dev/null || fail 2 "$tool is not installed"; done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The bytes that are signed are the bytes that are sent.
cat -- "$payload" > "$work/body" 2> /dev/null || fail 66 "$payload cannot be read"

mode=$(stat -c %a -- "$secret_file" 2> /dev/null) || fail 78 "$secret_file cannot be read"
[[ ${mode: -1} == 0 ]] || fail 78 "$secret_file is open to everybody: chmod o-rwx it"
secret=$(cat -- "$secret_file" 2> /dev/null) || fail 78 "$secret_file cannot be read"
[[ $secret == whsec_* ]] || fail 78 'the secret does not begin with whsec_'
# printf is part of bash: the secret is in no list of processes.
key=$(printf '%s' "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n') || key=
(( ${#key} >= 48 && ${#key} <= 128 )) || fail 78 'the secret must be whsec_ and 24 to 64 bytes in base64'

# The key, filled with zeros to 64 bytes, each xor a number.
padded_key() {
  local bytes='' byte i
  for (( i = 0; i < 128; i += 2 )); do
    byte=${key:i:2}
    printf -v bytes '%s\\x%02x' "$bytes" $(( 16#${byte:-00} ^ $1 ))
  done
  printf "$bytes"
}

# HMAC-SHA256 by its definition (RFC 2104). `openssl dgst -hmac KEY` would show the key in the list of processes.
signature() {
  { padded_key 0x5c
    { padded_key 0x36; printf '%s.%s.' "$1" "$2"; cat "$work/body"; } | openssl dgst -sha256 -binary
  } | openssl dgst -sha256 -binary | openssl base64 -A
}

# The same payload has the same id: sent again, it is known as the same delivery.
id=msg_$(openssl dgst -sha256 -r < "$work/body" | cut -c 1-32)
for delay in 1 2 4 none; do
  seconds=$(date +%s)
  status=$(curl -sS --max-time 10 -o "$work/answer" -D "$work/head" -w '%{http_code}' \
    ${QUARANTINE_BRIDGE_CA:+--cacert "$QUARANTINE_BRIDGE_CA"} \
    -H 'content-type: application/json' -H "webhook-id: $id" -H "webhook-timestamp: $seconds" \
    -H "webhook-signature: v1,$(signature "$id" "$seconds")" \
    --data-binary "@$work/body" -- "$url" 2> "$work/error") || status=000
  case $status in
    2??) printf 'HTTP %s\n' "$status" >&2; cat "$work/answer"; exit 0 ;;
    000) last=$(cat "$work/error") ;;
    401) fail 69 'HTTP 401: the bridge did not believe the sender: compare the secrets, and the clocks' ;;
    408|429|5??) last="HTTP $status $(cat "$work/answer")" ;;
    *) fail 69 "HTTP $status: $(cat "$work/answer")" ;;
  esac
  [[ $delay != none ]] || break
  if [[ $status != 000 ]]; then
    asked=$(tr -d '\r' < "$work/head" | sed -n 's/^retry-after: *\([0-9]\{1,6\}\) *$/\1/Ip' | tail -n 1)
    if [[ -n $asked ]]; then delay=$(( 10#$asked > 30 ? 30 : 10#$asked )); fi
  fi
  sleep "$delay"
done
fail 69 "4 tries failed; the last: $last"
