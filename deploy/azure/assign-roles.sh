#!/usr/bin/env bash
# Gives a managed identity the app roles of Defender that the bridge needs. The portal cannot do that.
#
#   assign-roles.sh OBJECT-ID [ROLE ...]
#
# OBJECT-ID is the identity's object (principal) id. Without roles it gives Machine.StopAndQuarantine, Machine.Read.All and File.Read.All.
# Needs the Azure CLI, signed in as a Privileged Role Administrator. What is given already is left as it is.
set -euo pipefail

# WindowsDefenderATP, the same application in every tenant.
DEFENDER=fc780465-2017-40d4-a0c5-307022471b92

principal=${1:?"the identity's object id is missing"}
shift
roles=("$@")
((${#roles[@]})) || roles=(Machine.StopAndQuarantine Machine.Read.All File.Read.All)
[[ $principal =~ ^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$ ]] || { echo "$principal is no object id" >&2; exit 2; }

# Graph of the cloud that the CLI is signed in to.
graph=$(az cloud show --query endpoints.microsoftGraphResourceId -o tsv)
graph=${graph%/}
defender=$(az ad sp show --id "$DEFENDER" --query id -o tsv)
assignments="$graph/v1.0/servicePrincipals/$principal/appRoleAssignments"
given=$(az rest --method get --url "$assignments" --query "value[?resourceId=='$defender'].appRoleId" -o tsv)

for role in "${roles[@]}"; do
  id=$(az ad sp show --id "$DEFENDER" --query "appRoles[?value=='$role'].id" -o tsv)
  [[ $id ]] || { echo "Defender has no role $role" >&2; exit 1; }
  if grep -qxF "$id" <<< "$given"; then
    echo "$role: given already"
    continue
  fi
  az rest --method post --url "$assignments" --headers content-type=application/json --output none \
    --body "{\"principalId\": \"$principal\", \"resourceId\": \"$defender\", \"appRoleId\": \"$id\"}"
  echo "$role: given"
done
