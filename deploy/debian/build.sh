#!/usr/bin/env bash
# Makes the Debian package of a release binary.
#
#   deploy/debian/build.sh BINARY FOLDER
#
# The same binary and the same SOURCE_DATE_EPOCH give the same bytes.
set -euo pipefail
binary=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
root=$out/package
rm -rf "$root"
put() { # MODE SOURCE TARGET
  install -D -m "$1" "$2" "$root/$3"
}

put 755 "$binary" usr/bin/quarantine-bridge
strip --strip-all "$root/usr/bin/quarantine-bridge"
for unit in quarantine-bridge quarantine-bridge-relay; do
  put 644 "deploy/$unit.service" "usr/lib/systemd/system/$unit.service"
  sed -i 's#/usr/local/bin/#/usr/bin/#' "$root/usr/lib/systemd/system/$unit.service"
done
put 644 deploy/quarantine-bridge.sysusers usr/lib/sysusers.d/quarantine-bridge.conf
put 644 deploy/quarantine-bridge.tmpfiles usr/lib/tmpfiles.d/quarantine-bridge.conf
documents=usr/share/doc/quarantine-bridge
put 644 README.md "$documents/README.md"
put 644 quarantine-bridge.example.toml "$documents/examples/quarantine-bridge.example.toml"
put 644 deploy/prometheus/rules.yaml "$documents/examples/rules.yaml"
for page in docs/runbooks/*.md; do put 644 "$page" "$documents/runbooks/$(basename "$page")"; done
put 644 CHANGELOG.md "$documents/CHANGELOG.md"
gzip -9n > "$root/$documents/changelog.gz" <<END
quarantine-bridge ($version) unstable; urgency=medium

  * CHANGELOG.md beside this file tells what changed.

 -- The quarantine-bridge maintainers <maintainers@quarantine-bridge.example>  $(date -R -u -d "@${SOURCE_DATE_EPOCH:-0}")
END
chmod 644 "$root/$documents/changelog.gz"
put 644 deploy/debian/copyright "$documents/copyright"
install -d -m 750 "$root/etc/quarantine-bridge"

for script in postinst prerm postrm; do put 755 "deploy/debian/$script" "DEBIAN/$script"; done
# In KiB, each file and folder rounded up, as dpkg-gencontrol reckons: what du says differs by file system.
size=$(find "$root" -path "$root/DEBIAN" -prune -o -printf '%y %s\n' | awk '{ sum += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print sum }')
cat > "$root/DEBIAN/control" <<END
Package: quarantine-bridge
Version: $version
Architecture: $architecture
Maintainer: The quarantine-bridge maintainers <maintainers@quarantine-bridge.example>
Installed-Size: $size
Depends: libc6 (>= 2.34), libgcc-s1, systemd, procps, ca-certificates
Section: admin
Priority: optional
Description: turns a signed alert into Defender quarantining one file on one device
 An HTTP service that takes signed alerts of a SIEM or SOAR and has Microsoft
 Defender for Endpoint stop and quarantine the file on the device that they
 name, exactly once, with a record of why.
END
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"
find "$root" -type d -not -path "$root/etc/*" -exec chmod 755 {} +
dpkg-deb --root-owner-group --build "$root" "$out/quarantine-bridge_${version}_$architecture.deb"
