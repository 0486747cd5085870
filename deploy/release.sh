#!/usr/bin/env bash
# Builds a release of the commit that is checked out, the same bytes each time.
#
#   deploy/release.sh OUT           OUT gets the archive with binary, man pages, completions, units and documents, the bill of
#                                   materials, the Debian package where dpkg-deb is, and SHA256SUMS of all
#   deploy/release.sh OUT --twice   builds in two folders of different names and fails where one byte differs
#
# Needs what a build needs (Cargo.toml names the Rust version), and git, GNU tar, gzip and Python 3.11. What is not committed is not in it.
set -euo pipefail

if [ $# -lt 1 ] || [ "${1#-}" != "$1" ] || [ "${2:---twice}" != --twice ]; then
  echo "usage: deploy/release.sh OUT [--twice]" >&2
  exit 2
fi
out=$(mkdir -p "$1" && cd "$1" && pwd)
twice=${2:-}
cd "$(dirname "$0")/.."
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
target=$(rustc -vV | sed -n 's/^host: //p')
name=quarantine-bridge-$version-$target

# Builds in a folder of its own, so that neither what lies about here nor an earlier build gets in.
build() { # folder, where the result goes
  local source=$1/source built=$1/built cargo=${CARGO_HOME:-$HOME/.cargo} sysroot
  sysroot=$(rustc --print sysroot)
  mkdir -p "$source" "$2/$name"
  git archive "$commit" | tar -x -C "$source"
  (
    cd "$source"
    # No path of this machine in the binary, neither by Rust nor by C.
    RUSTFLAGS="--remap-path-prefix=$source=/source --remap-path-prefix=$built=/built"
    export RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$sysroot=/rust"
    export CFLAGS="-ffile-prefix-map=$source=/source -ffile-prefix-map=$built=/built -ffile-prefix-map=$cargo=/cargo"
    export CXXFLAGS=$CFLAGS CARGO_INCREMENTAL=0
    cargo build --release --locked --target-dir "$built" --bin quarantine-bridge
    deploy/sbom.py --target "$target" > "$2/$name.cdx.json"
  )
  local binary=$built/release/quarantine-bridge tree=$2/$name
  install -m 755 "$binary" "$tree/quarantine-bridge"
  mkdir -p "$tree/completions" "$tree/man"
  for shell in bash zsh fish; do "$binary" completions $shell > "$tree/completions/quarantine-bridge.$shell"; done
  "$binary" man "$tree/man"
  (cd "$source" && cp -r README.md CHANGELOG.md SECURITY.md LICENSE openapi.yaml quarantine-bridge.example.toml docs deploy "$tree/")
  # Names in order, one time, no owner, no time of packing: the same archive of the same files.
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+w,go-w,a+rX -C "$2" -cf - "$name" |
    gzip -9 -n > "$2/$name.tar.gz"
  rm -r "$tree"
  command -v dpkg-deb > /dev/null || return 0
  "$source/deploy/debian/build.sh" "$binary" "$2/debian" > /dev/null
  mv "$2/debian/"*.deb "$2/"
  rm -r "$2/debian"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build "$work/one" "$work/first"
if [ "$twice" = --twice ]; then
  build "$work/another-folder-with-a-longer-name" "$work/second"
  for file in "$work/first/"*; do
    cmp "$file" "$work/second/$(basename "$file")"
  done
  echo "two builds, the same bytes"
fi
ls "$work/first/"*.deb > /dev/null 2>&1 || echo "no Debian package: dpkg-deb is not here" >&2
cd "$work/first"
sha256sum -- * > "$out/SHA256SUMS"
cp -- * "$out/"
cat "$out/SHA256SUMS"
