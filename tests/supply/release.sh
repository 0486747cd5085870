#!/usr/bin/env bash
# Packs a release twice, with a binary that is built already, and looks at what is in it: tests/supply/release.sh BINARY
# The compiler's part is not tried here: it takes two whole builds, deploy/release.sh OUT --twice.
set -euo pipefail

binary=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo=$(command -v cargo)
mkdir "$work/stand-in"
cat > "$work/stand-in/cargo" <<END
#!/bin/sh
[ "\$1" = build ] || exec "$cargo" "\$@"
while [ "\$1" != --target-dir ]; do shift; done
mkdir -p "\$2/release"
cp "$binary" "\$2/release/"
END
chmod +x "$work/stand-in/cargo"
PATH="$work/stand-in:$PATH" "$(dirname "$0")/../../deploy/release.sh" "$work/out" --twice

cd "$work/out"
sha256sum --check --quiet SHA256SUMS
if command -v dpkg-deb > /dev/null; then dpkg-deb --info quarantine-bridge_*.deb | grep '^ Package: quarantine-bridge$' > /dev/null; fi
tar -xzf quarantine-bridge-*.tar.gz
cd quarantine-bridge-*/
./quarantine-bridge --version
for file in completions/quarantine-bridge.{bash,zsh,fish} man/quarantine-bridge.1 man/quarantine-bridge-serve.1 LICENSE openapi.yaml \
  deploy/quarantine-bridge.service docs/SUMMARY.md quarantine-bridge.example.toml; do
  test -s "$file" || { echo "$file is not in the archive" >&2; exit 1; }
done
grep -q '"specVersion": "1.6"' "$work"/out/*.cdx.json
