#!/usr/bin/env bash
# Checks what deploy/ has, as far as that goes without a cluster, a cloud or a container engine.
#
#   tests/deploy/run.sh BINARY
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")/../.."

out=target/deploy
mkdir -p "$out"

need() { # COMMAND PACKAGE
  command -v "$1" >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends "$2"; }
}
need promtool prometheus
python3 -m venv "$out/tools"
tools=$out/tools/bin
"$tools/pip" install -q --disable-pip-version-check -r tests/deploy/requirements.txt

echo "-- YAML"
"$tools/yamllint" --strict -c tests/deploy/yamllint.yaml deploy

echo "-- alert rules and dashboards"
"$tools/python" tests/deploy/monitoring.py "$binary" "$out/queries.yaml"
promtool check rules deploy/prometheus/rules.yaml
promtool check rules --lint=none "$out/queries.yaml"
promtool test rules deploy/prometheus/rules_test.yaml

echo "-- compose"
"$tools/python" tests/deploy/compose.py "$binary"
# It names files of the container.
sed "s#/run/secrets/metrics-token#$PWD/README.md#; s#- rules.yaml#- $PWD/deploy/prometheus/rules.yaml#" \
  deploy/compose/prometheus.yaml > "$out/prometheus.yaml"
promtool check config "$out/prometheus.yaml"
python3 tests/deploy/prometheus.py "$binary" "$out/prometheus"

echo "-- Kubernetes"
"$tools/python" tests/deploy/kubernetes.py "$binary"

echo "-- Debian package and scripts"
need lintian lintian
"$tools/shellcheck" deploy/azure/*.sh deploy/debian/build.sh deploy/debian/p* tests/deploy/*.sh
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
rm -rf "$out/again" "$out/debian"
deploy/debian/build.sh "$binary" "$out/again"
deploy/debian/build.sh "$binary" "$out/debian"
cmp "$out"/again/*.deb "$out"/debian/*.deb
lintian --no-cfg --allow-root --fail-on error "$out"/debian/*.deb
# Nothing of a configuration that could be taken for a real one.
test -z "$(dpkg-deb -c "$out"/debian/*.deb | grep -E '/etc/.*[^/]$' || true)"
need debootstrap debootstrap
tests/deploy/debian.sh "$out"/debian/*.deb

echo "-- Azure"
need cloud-init cloud-init
need sfdisk fdisk
need mkfs.ext4 e2fsprogs
need jq jq
# Of the provider's package only the schema is read; it has no use for Node here.
provider=cdktf_cdktf_provider_azurerm-14.23.1-py3-none-any.whl
[ -f "$out/$provider" ] || "$tools/pip" download -q --disable-pip-version-check --no-deps -d "$out" cdktf-cdktf-provider-azurerm==14.23.1
"$tools/python" tests/deploy/azure_templates.py "$binary" "$out/$provider" "$out/azure"
"$tools/shellcheck" "$out"/azure/quarantine-bridge-*
tests/deploy/azure_machine.sh "$out/azure"
tests/deploy/azure.sh

echo "-- image"
"$tools/hadolint" deploy/Dockerfile
"$tools/shellcheck" deploy/image.sh tests/deploy/*.sh
tests/deploy/image.sh "$binary" "$out/image"

echo "-- not checked here, for there is no such thing: a running Grafana, Docker, a cluster, a cloud"
