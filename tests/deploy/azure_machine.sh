#!/usr/bin/env bash
# Runs what the machine in Azure runs at its first start: on real disk images, and against a program that plays curl.
#
#   azure_machine.sh FOLDER    FOLDER has the scripts, as azure_templates.py writes them
set -euo pipefail
scripts=$(realpath "$1")
work=$(mktemp -d)
trap 'umount -q "$work/state" || true; rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/etc"
touch "$work/fstab"
export PATH=$work/bin:$PATH WORK=$work
fails() { if "$@" 2> "$work/why"; then echo "did not fail: $*" >&2; exit 1; fi; }

# mount reads the table that the script writes; an image needs a loop.
cat > "$work/bin/mount" <<'STUB'
#!/usr/bin/env bash
grep -q " $1 ext4 " "$WORK/fstab" && exec /bin/mount -o loop "$WORK/disk" "$1"
STUB
chmod +x "$work/bin/mount"
disk() { "$scripts/quarantine-bridge-disk" "$1" "$work/state" "$work/fstab"; }

truncate -s 64M "$work/disk"
disk "$work/disk"
mountpoint -q "$work/state"
echo kept > "$work/state/bridge.db"
disk "$work/disk"
umount "$work/state"
uuid=$(blkid -p -o value -s UUID "$work/disk")
# As a new machine finds it.
: > "$work/fstab"
disk "$work/disk"
test "$(cat "$work/state/bridge.db")" = kept
test "$(blkid -p -o value -s UUID "$work/disk")" = "$uuid"
test "$(wc -l < "$work/fstab")" = 1
umount "$work/state"

# Another file system, a table of partitions, bytes of which nothing is known: left as they are.
truncate -s 64M "$work/swap" "$work/parted" "$work/unknown"
mkswap -q "$work/swap"
printf 'label: gpt\nsize=10M\n' | sfdisk -q "$work/parted"
printf 'something' | dd of="$work/unknown" bs=1 seek=70000 conv=notrunc status=none
for image in swap parted unknown; do
  before=$(sha256sum < "$work/$image")
  fails disk "$work/$image"
  grep -q 'left as it is' "$work/why"
  test "$(sha256sum < "$work/$image")" = "$before"
done

# Secrets.
cat > "$work/bin/curl" <<'STUB'
#!/usr/bin/env bash
while [ $# -gt 1 ]; do
  if [ "$1" = -H ]; then header=$(cat "${2#@}"); fi
  shift
done
case $1 in
  "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.usgovcloudapi.net&client_id=the-client")
    [ "$header" = "Metadata: true" ] && echo '{"access_token": "the-token"}' ;;
  "https://the-vault.vault.usgovcloudapi.net/secrets/soc?api-version=7.4")
    [ "$header" = "Authorization: Bearer the-token" ] && jq -n --rawfile it "$WORK/secret" '{value: $it}' ;;
  *) exit 22 ;;
esac
STUB
printf '#!/bin/sh\nexit 1\n' > "$work/bin/systemctl"
ln -s /bin/true "$work/bin/chgrp"
chmod +x "$work"/bin/*
cat > "$work/settings" <<'SETTINGS'
CLIENT_ID='the-client'
VAULT='the-vault'
VAULT_DNS='vault.usgovcloudapi.net'
SECRETS='soc-secret=soc'
SETTINGS
secrets() { "$scripts/quarantine-bridge-secrets" "$work/settings" "$work/etc"; }
printf 'first\nsecond\n' > "$work/secret"
secrets | grep -q 'soc-secret is new'
test "$(cat "$work/etc/soc-secret")" = "$(printf 'first\nsecond')"
test "$(stat -c %a "$work/etc/soc-secret")" = 640
test -z "$(secrets)"
# What is not to be had changes nothing, and does not keep back what is.
sed -i "s/^SECRETS=.*/SECRETS='soc-secret=gone other=soc'/" "$work/settings"
fails secrets
test "$(cat "$work/etc/soc-secret")" = "$(printf 'first\nsecond')"
test -s "$work/etc/other"
test "$(find "$work/etc" -type f | wc -l)" = 2
echo "the machine's scripts: right"
