#!/usr/bin/env bash
# Installs, updates, removes and purges the package in a Debian of its own, made by debootstrap, with dpkg and apt as they are.
#
#   debian.sh PACKAGE
set -euo pipefail
package=$(realpath "$1")
work=$(mktemp -d)
root=$work/root
trap 'umount -q "$root/proc" || true; rm -rf "$work"' EXIT
within() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
is() { # WHAT EXPECTED FOUND
  [ "$2" = "$3" ] || { echo "$1: expected '$2', found '$3'" >&2; exit 1; }
}
mode() { within stat -c '%U:%G %a' "$1"; }

debootstrap --variant=minbase --include=systemd,ca-certificates,procps bookworm "$root" > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
mount -t proc proc "$root/proc"
cp "$package" "$root/root/first.deb"
# The same again as the version after it.
dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group --build "$work/next" "$root/root/next.deb" > "$work/log"

echo "installs: user, files, modes; nothing is enabled"
within apt-get install -y -q --no-install-recommends /root/first.deb > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
is "the user" /var/lib/quarantine-bridge:/usr/sbin/nologin "$(within getent passwd quarantine-bridge | cut -d : -f 6,7)"
is "the folder of the configuration" "root:quarantine-bridge 750" "$(mode /etc/quarantine-bridge)"
is "what is in it" "" "$(ls -A "$root/etc/quarantine-bridge")"
is "the folder of the signal file" "root:quarantine-bridge 750" "$(mode /run/quarantine-bridge)"
is "the program" "root:root 755" "$(mode /usr/bin/quarantine-bridge)"
within dpkg --verify quarantine-bridge
for unit in quarantine-bridge quarantine-bridge-relay; do
  is "$unit" disabled "$(within systemctl is-enabled $unit || true)"
  sed -n 's/^Exec[A-Za-z]*=\(\/[^ ]*\).*/\1/p' "$root/usr/lib/systemd/system/$unit.service" | while read -r program; do
    test -x "$root$program" || { echo "$unit.service runs $program, which is not there" >&2; exit 1; }
  done
done

echo "runs as that user"
as_service() { within setpriv --reuid quarantine-bridge --regid quarantine-bridge --clear-groups quarantine-bridge "$@"; }
as_service --version
as_service demo > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

echo "an update keeps configuration, database and what is enabled, and starts anew what runs"
install -m 640 /dev/stdin "$root/etc/quarantine-bridge/quarantine-bridge.toml" <<< "# of this machine"
within chgrp quarantine-bridge /etc/quarantine-bridge/quarantine-bridge.toml
within install -d -m 700 -o quarantine-bridge -g quarantine-bridge /var/lib/quarantine-bridge
echo alerts > "$root/var/lib/quarantine-bridge/bridge.db"
state() { within sh -c 'cat /etc/quarantine-bridge/* /var/lib/quarantine-bridge/*; stat -c "%U:%G %a %n" /etc/quarantine-bridge /etc/quarantine-bridge/* /var/lib/quarantine-bridge /var/lib/quarantine-bridge/*'; }
within systemctl -q enable quarantine-bridge
before=$(state)
# From here on as if systemd ran: what it is told is written down.
mkdir -p "$root/run/systemd/system"
within dpkg-divert --quiet --local --rename --add /usr/bin/systemctl
install -m 755 /dev/stdin "$root/usr/bin/systemctl" <<< $'#!/bin/sh\necho "$@" >> /root/told'
within apt-get install -y -q /root/next.deb > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
is "the version" next "$(within dpkg-query -f "\${Version}" -W quarantine-bridge | cut -d + -f 2)"
is "what the machine has" "$before" "$(state)"
test -L "$root/etc/systemd/system/multi-user.target.wants/quarantine-bridge.service" || { echo "it is no longer enabled" >&2; exit 1; }
is "systemd was told" $'try-restart quarantine-bridge.service\ntry-restart quarantine-bridge-relay.service' "$(grep quarantine "$root/root/told")"

echo "removal and purge stop and disable it, and leave configuration and database"
: > "$root/root/told"
within apt-get remove -y -q quarantine-bridge > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
is "systemd was told" "disable --now quarantine-bridge.service quarantine-bridge-relay.service" "$(grep quarantine "$root/root/told")"
is "what the machine has after removal" "$before" "$(state)"
within apt-get purge -y -q quarantine-bridge > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
is "what the machine has after the purge" "$before" "$(state)"
is "files of the package" "" "$(find "$root/usr" -name '*quarantine-bridge*')"
is "the package" "" "$(within dpkg-query -f "\${Package}" -W quarantine-bridge 2> /dev/null || true)"
