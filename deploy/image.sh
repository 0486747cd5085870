#!/bin/sh
# Lays out what the image holds: the binary, the libraries that it links to, and the certificates of public authorities.
#
#   image.sh BINARY FOLDER
set -eu
binary=$1 image=$2
mkdir -p "$image/etc/ssl/certs" "$image/usr/local/bin" "$image/tmp" "$image/var/lib/quarantine-bridge"
cp "$binary" "$image/usr/local/bin/quarantine-bridge"
libraries=$(ldd "$binary" | grep -o '/[^ ]*')
# shellcheck disable=SC2086 # one word a library
cp -L --parents -t "$image" $libraries
cp -L /etc/ssl/certs/ca-certificates.crt "$image/etc/ssl/certs/"
chmod 1777 "$image/tmp"
chown 65532:65532 "$image/var/lib/quarantine-bridge"
chmod 700 "$image/var/lib/quarantine-bridge"
