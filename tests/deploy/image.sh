#!/usr/bin/env bash
# Lays out the image as the Dockerfile does, measures it, and runs the program in it with nothing else: no engine is needed for that.
#
#   tests/deploy/image.sh BINARY FOLDER
set -euo pipefail
rm -rf "$2"
deploy/image.sh "$1" "$2"
bytes=$(du -sb "$2" | cut -f 1)
echo "the image has $bytes bytes"
# A binary for debugging is larger; the one that is shipped counts.
case $1 in */release/*) ((bytes < 30000000)) ;;
esac
test -z "$(find "$2" -name '*sh')"
chroot --userspec=65532:65532 "$2" /usr/local/bin/quarantine-bridge --version
# Nobody listens there.
code=0
chroot --userspec=65532:65532 "$2" /usr/local/bin/quarantine-bridge ready --url http://127.0.0.1:9 || code=$?
((code == 69))
grep -q '^USER 65532:65532$' deploy/Dockerfile
grep -q '^FROM scratch$' deploy/Dockerfile
