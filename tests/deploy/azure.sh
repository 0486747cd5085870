#!/usr/bin/env bash
# Runs assign-roles.sh against a program that plays the Azure CLI: one role is there already, two are given.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/az" <<'END'
#!/usr/bin/env bash
case "$*" in
  "cloud show"*) echo https://graph.microsoft.us/ ;;
  *"--query id"*) echo the-defender ;;
  "ad sp show"*Machine.StopAndQuarantine*) echo id-1 ;;
  "ad sp show"*Machine.Read.All*) echo id-2 ;;
  "ad sp show"*File.Read.All*) echo id-3 ;;
  "ad sp show"*) ;;
  "rest --method get"*) echo id-2 ;;
  "rest --method post"*) echo "$*" >> "$CALLS" ;;
  *) exit 9 ;;
esac
END
chmod +x "$folder/az"
export CALLS=$folder/calls PATH=$folder:$PATH
id=11111111-2222-3333-4444-555555555555

deploy/azure/assign-roles.sh $id
(($(wc -l < "$CALLS") == 2))
grep -q "https://graph.microsoft.us/v1.0/servicePrincipals/$id/appRoleAssignments .*\"resourceId\": \"the-defender\", \"appRoleId\": \"id-1\"" "$CALLS"
grep -q '"appRoleId": "id-3"' "$CALLS"

code=0
deploy/azure/assign-roles.sh $id No.Such.Role 2> /dev/null || code=$?
((code == 1))
deploy/azure/assign-roles.sh not-an-id 2> /dev/null || code=$?
((code == 2))
(($(wc -l < "$CALLS") == 2))
