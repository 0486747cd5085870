"""Writes the three playbooks: they differ in what triggers them and in where they read the case, and in nothing else.

    python3 make.py           writes NAME-trigger/azuredeploy.json
    python3 make.py --check   only says which are not as this would write them

Sentinel's gallery takes each as one file, so each is complete in itself.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
UPDATED = "2026-11-30T00:00:00.000Z"
INCIDENTS = "2024-03-01"

# What a comment says for each state in which the bridge ends or holds an action. As in quarantine_bridge_client.py.
SENTENCES = {
    "succeeded": "Defender has stopped and quarantined the file on the device.",
    "held": "It waits for a person at the bridge; nothing was sent.",
    "denied": "The bridge's policy or a person said no; nothing was sent.",
    "expired": "It became too old; nothing was sent.",
    "shadowed": "The bridge runs in mode shadow here: it decided and recorded, and sent nothing.",
    "cancelled": "It was cancelled.",
    "superseded": "Somebody else's action for this device and file is at Defender; the bridge sent nothing and does not follow it.",
    "failed": "Defender says that it failed.",
    "rejected": "Defender did not take it.",
    "timed_out": "Defender gave up; the device may be offline.",
}

PREREQUISITES = [
    "1. quarantine-bridge, reachable from Logic Apps by HTTPS, with public_url in its configuration and a source of scheme api.",
    "2. A token of the bridge with the scope actions:write, bound to that source, as a secret in a key vault.",
]

POST_DEPLOYMENT = [
    "1. Assign the playbook's managed identity the role Key Vault Secrets User on the secret.",
    "2. Assign it the role Microsoft Sentinel Responder on the resource group of the workspace.",
    "3. In Microsoft Sentinel, Settings, Playbook permissions: the resource group of the playbook.",
]


def sentinel(method, path, body=None, after=None):
    """An action of the connector of Microsoft Sentinel."""
    inputs = {
        "host": {"connection": {"name": "@parameters('$connections')['azuresentinel']['connectionId']"}},
        "method": method,
        "path": path,
    }
    if body is not None:
        inputs["body"] = body
    return {"type": "ApiConnection", "runAfter": after or {}, "inputs": inputs}


def arm(method, path):
    """A call of Azure's own API by the playbook's identity."""
    return {
        "type": "Http",
        "runAfter": {},
        "inputs": {
            "method": method,
            "uri": f"@{{parameters('ResourceManager')}}@{{triggerBody()?['IncidentArmID']}}{path}?api-version={INCIDENTS}",
            "authentication": {"type": "ManagedServiceIdentity", "audience": "@parameters('ResourceManager')"},
        },
        "operationOptions": "DisableAsyncPattern",
    }


def of_incident(incident):
    """What is asked because of an incident. Times and ids that stay as they are: a run that is made again asks for the same."""
    return {
        "incident_arm_id": f"@{incident}?['id']",
        "alert_id": f"@{incident}?['name']",
        "severity": f"@toLower(coalesce({incident}?['properties']?['severity'], ''))",
        "occurred_at": f"@{incident}?['properties']?['createdTimeUtc']",
        "title": f"@take(coalesce({incident}?['properties']?['title'], 'Microsoft Sentinel incident'), 500)",
        "url": f"@coalesce({incident}?['properties']?['incidentUrl'], '')",
    }


def incident():
    """An incident, or an automation rule for incidents."""
    entities = "@triggerBody()?['object']?['properties']?['relatedEntities']"
    return {
        "trigger": ("Microsoft_Sentinel_incident", "/incident-creation"),
        "actions": {
            "Entities_-_Get_Hosts": sentinel("post", "/entities/host", entities),
            "Entities_-_Get_FileHashes": sentinel("post", "/entities/filehash", entities),
        },
        "case": {
            **of_incident("triggerBody()?['object']"),
            "hosts": "@body('Entities_-_Get_Hosts')?['Hosts']",
            "hashes": "@body('Entities_-_Get_FileHashes')?['Filehashes']",
        },
    }


def alert():
    """An alert. It names fewer entities than its incident, so it says more often which file is on which device."""
    entities = "@triggerBody()?['Entities']"
    path = "/Incidents/subscriptions/@{encodeURIComponent(triggerBody()?['WorkspaceSubscriptionId'])}" \
        "/resourceGroups/@{encodeURIComponent(triggerBody()?['WorkspaceResourceGroup'])}" \
        "/workspaces/@{encodeURIComponent(triggerBody()?['WorkspaceId'])}" \
        "/alerts/@{encodeURIComponent(triggerBody()?['SystemAlertId'])}"
    return {
        "trigger": ("Microsoft_Sentinel_alert", "/subscribe"),
        "actions": {
            "Alert_-_Get_incident": sentinel("get", path),
            "Entities_-_Get_Hosts": sentinel("post", "/entities/host", entities),
            "Entities_-_Get_FileHashes": sentinel("post", "/entities/filehash", entities),
        },
        "case": {
            "incident_arm_id": "@body('Alert_-_Get_incident')?['id']",
            "alert_id": "@triggerBody()?['SystemAlertId']",
            "severity": "@toLower(coalesce(triggerBody()?['Severity'], ''))",
            "occurred_at": "@triggerBody()?['StartTimeUtc']",
            "title": "@take(coalesce(triggerBody()?['AlertDisplayName'], 'Microsoft Sentinel alert'), 500)",
            "url": "@coalesce(body('Alert_-_Get_incident')?['properties']?['incidentUrl'], '')",
            "hosts": "@body('Entities_-_Get_Hosts')?['Hosts']",
            "hashes": "@body('Entities_-_Get_FileHashes')?['Filehashes']",
        },
    }


def entity():
    """A file that a person points at in an incident; the device is the one that the incident names."""
    return {
        "trigger": ("Microsoft_Sentinel_entity", "/entity/@{encodeURIComponent('FileHash')}"),
        "actions": {
            "Get_the_incident": arm("GET", ""),
            "Get_its_entities": arm("POST", "/entities"),
            "Only_hosts": {
                "type": "Query",
                "runAfter": {"Get_its_entities": ["Succeeded"]},
                "inputs": {"from": "@body('Get_its_entities')?['entities']", "where": "@equals(item()?['kind'], 'Host')"},
            },
            "Hosts": {
                "type": "Select",
                "runAfter": {"Only_hosts": ["Succeeded"]},
                "inputs": {
                    "from": "@body('Only_hosts')",
                    "select": {
                        "HostName": "@item()?['properties']?['hostName']",
                        "DnsDomain": "@item()?['properties']?['dnsDomain']",
                        "MdatpDeviceId": "@item()?['properties']?['additionalData']?['MdatpDeviceId']",
                    },
                },
            },
        },
        "case": {
            **of_incident("body('Get_the_incident')"),
            "hosts": "@body('Hosts')",
            "hashes": [
                {
                    "Algorithm": "@coalesce(triggerBody()?['Entity']?['properties']?['Algorithm'], triggerBody()?['Entity']?['properties']?['algorithm'])",
                    "Value": "@coalesce(triggerBody()?['Entity']?['properties']?['Value'], triggerBody()?['Entity']?['properties']?['hashValue'])",
                }
            ],
        },
    }


HOST = "first(outputs('The_case')['hosts'])"
NAME = f"concat(coalesce({HOST}?['HostName'], ''), if(empty({HOST}?['DnsDomain']), '', '.'), coalesce({HOST}?['DnsDomain'], ''))"
FILE = "items('For_each_file')?['Value']"


def escaped(expression):
    """A text that stands in a comment, which is HTML."""
    return f"replace(replace({expression}, '&', '&amp;'), '<', '&lt;')"


def comment(text, after):
    """Writes a comment into the incident."""
    body = {"incidentArmId": "@outputs('The_case')['incident_arm_id']", "message": f"<p>quarantine-bridge: {text}</p>"}
    return sentinel("post", "/Incidents/Comment", body, after)


def ask():
    """Asks for the action and waits: after 202, Logic Apps asks the address in Location until it answers otherwise."""
    return {
        "type": "Http",
        "description": "The answer comes when the action is over or held, or after 30 seconds. The asynchronous pattern is on: after 202 the address in Location is asked until it answers otherwise.",
        "runAfter": {},
        "limit": {"timeout": "@parameters('WaitFor')"},
        "inputs": {
            "method": "POST",
            "uri": "@{parameters('BridgeUrl')}/v1/actions",
            "headers": {
                "Content-Type": "application/json",
                # Most are over by then; the others are asked for by Location.
                "Prefer": "wait=30",
                # The case, the device and the file: a run that is made again asks for the same.
                "Idempotency-Key": f"\"sentinel-@{{outputs('The_case')['alert_id']}}-@{{take(encodeURIComponent(toLower({NAME})), 120)}}-@{{toLower({FILE})}}\"",
            },
            "body": {
                "alert_id": "@outputs('The_case')['alert_id']",
                "severity": "@outputs('The_case')['severity']",
                "occurred_at": "@outputs('The_case')['occurred_at']",
                "title": "@outputs('The_case')['title']",
                "url": "@outputs('The_case')['url']",
                # Logic Apps works out both sides of an if().
                "machine": f"@setProperty(json('{{}}'), if(empty({HOST}?['MdatpDeviceId']), 'dns_name', 'id'), if(empty({HOST}?['MdatpDeviceId']), {NAME}, {HOST}?['MdatpDeviceId']))",
                "file": f"@setProperty(json('{{}}'), if(equals(length({FILE}), 64), 'sha256', 'sha1'), {FILE})",
                # Several files: nobody says that all of them are bad. A person decides.
                "mode": "@if(and(greater(length(outputs('The_files')), 1), equals(parameters('Mode'), 'enforce')), 'approve', parameters('Mode'))",
                "note": "Microsoft Sentinel, playbook @{workflow()['name']}",
            },
            "authentication": {"type": "Raw", "value": "Bearer @{body('Get_the_token')?['value']}"},
            "retryPolicy": {
                "type": "exponential",
                "count": 4,
                "interval": "PT10S",
                "minimumInterval": "PT5S",
                "maximumInterval": "PT5M",
            },
        },
        "runtimeConfiguration": {"secureData": {"properties": ["inputs"]}},
    }


def algorithm(name):
    """The hashes of one kind."""
    return {
        "type": "Query",
        "runAfter": {"The_case": ["Succeeded"]},
        "inputs": {
            "from": "@coalesce(outputs('The_case')['hashes'], json('[]'))",
            "where": f"@equals(toUpper(coalesce(item()?['Algorithm'], '')), '{name}')",
        },
    }


def what_it_does(case, after):
    """The actions that all playbooks have in common."""
    said = "body('Ask')?['state']"
    sentence = f"coalesce(parameters('Sentences')?[{said}], concat('It is ', {said}, '.'))"
    where = f"@{{{escaped(FILE)}}} on @{{{escaped(NAME)}}}"
    return {
        "The_case": {"type": "Compose", "runAfter": after, "inputs": case},
        "SHA1s": algorithm("SHA1"),
        "SHA256s": algorithm("SHA256"),
        "The_files": {
            "type": "Compose",
            "description": "A file has often an entity for each of its hashes; one is enough to name it.",
            "runAfter": {"SHA1s": ["Succeeded"], "SHA256s": ["Succeeded"]},
            "inputs": "@if(empty(body('SHA1s')), body('SHA256s'), body('SHA1s'))",
        },
        "One_device_and_a_file": {
            "type": "If",
            "runAfter": {"The_files": ["Succeeded"]},
            "expression": {
                "and": [
                    {"equals": ["@length(coalesce(outputs('The_case')['hosts'], json('[]')))", 1]},
                    {"greater": ["@length(outputs('The_files'))", 0]},
                ]
            },
            "actions": {
                "Get_the_token": {
                    "type": "Http",
                    "runAfter": {},
                    "inputs": {
                        "method": "GET",
                        "uri": "@{parameters('TokenSecretUri')}?api-version=7.4",
                        "authentication": {"type": "ManagedServiceIdentity", "audience": "@parameters('KeyVaultAudience')"},
                    },
                    "runtimeConfiguration": {"secureData": {"properties": ["inputs", "outputs"]}},
                },
                "Tell_that_there_is_no_token": comment(
                    "the playbook could not read the bridge's token from the key vault, HTTP @{outputs('Get_the_token')?['statusCode']}. Nothing was asked for.",
                    {"Get_the_token": ["Failed", "TimedOut"]},
                ),
                "For_each_file": {
                    "type": "Foreach",
                    "runAfter": {"Get_the_token": ["Succeeded"]},
                    "foreach": "@outputs('The_files')",
                    "runtimeConfiguration": {"concurrency": {"repetitions": 5}},
                    "actions": {
                        "Ask": ask(),
                        "Tell_the_outcome": comment(
                            f"{where}: <b>@{{{said}}}</b>. @{{{sentence}}} Action @{{body('Ask')?['id']}}.",
                            {"Ask": ["Succeeded"]},
                        ),
                        "Tell_the_failure": comment(
                            f"{where} was <b>not finished</b>, HTTP @{{outputs('Ask')?['statusCode']}}: "
                            f"<code>@{{{escaped('take(string(body(' + chr(39) + 'Ask' + chr(39) + ')), 2000)')}}}</code> "
                            "Running the playbook again does nothing twice.",
                            {"Ask": ["Failed"]},
                        ),
                        "Tell_that_it_goes_on": comment(
                            f"{where}: <b>not over</b> within @{{parameters('WaitFor')}}. The bridge goes on; the device may be offline. "
                            "Running the playbook again waits on.",
                            {"Ask": ["TimedOut"]},
                        ),
                    },
                },
            },
            "else": {
                "actions": {
                    "Tell_why_nothing_was_asked_for": comment(
                        "nothing was asked for. It takes one device, and @{length(coalesce(outputs('The_case')['hosts'], json('[]')))} are named; "
                        "it takes a SHA1 or SHA256, and @{length(outputs('The_files'))} are named. With several devices nobody says which had the file.",
                        {},
                    )
                }
            },
        },
    }


def template(name, made):
    """The template of one playbook."""
    trigger, path = made["trigger"]
    title = f"Quarantine a file by quarantine-bridge - {name} trigger"
    after = {last: ["Succeeded"] for last in made["actions"] if not any(last in a["runAfter"] for a in made["actions"].values())}
    values = ("BridgeUrl", "TokenSecretUri", "Mode", "WaitFor")
    definition = {
        "$schema": "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "$connections": {"defaultValue": {}, "type": "Object"},
            **{value: {"type": "String"} for value in (*values, "ResourceManager", "KeyVaultAudience")},
            "Sentences": {"type": "Object", "defaultValue": SENTENCES},
        },
        "triggers": {
            trigger: {
                "type": "ApiConnectionWebhook",
                "inputs": {
                    "body": {"callback_url": "@{listCallbackUrl()}"},
                    "host": {"connection": {"name": "@parameters('$connections')['azuresentinel']['connectionId']"}},
                    "path": path,
                },
            }
        },
        "actions": {**made["actions"], **what_it_does(made["case"], after)},
        "outputs": {},
    }
    api = "[subscriptionResourceId('Microsoft.Web/locations/managedApis', resourceGroup().location, 'azuresentinel')]"
    connection = "[resourceId('Microsoft.Web/connections', variables('MicrosoftSentinelConnectionName'))]"
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": {
            "title": title,
            "description": "Has Microsoft Defender for Endpoint stop and quarantine a file on a device, exactly once and behind the guards and approvals of quarantine-bridge, waits for the outcome, and writes it into the incident as a comment.",
            "prerequisites": PREREQUISITES,
            "postDeployment": POST_DEPLOYMENT,
            "prerequisitesDeployTemplateFile": "",
            "lastUpdateTime": UPDATED,
            "entities": ["Host", "FileHash"],
            "tags": ["Remediation", "Response from teams", "Microsoft Defender for Endpoint"],
            "support": {"tier": "community"},
            "author": {"name": "quarantine-bridge"},
            "releaseNotes": [{"version": "1.0.0", "title": title, "notes": ["Initial version"]}],
        },
        "parameters": {
            "PlaybookName": {"type": "string", "defaultValue": f"Quarantine-File-{name}-trigger", "metadata": {"description": "Name of the playbook."}},
            "BridgeUrl": {"type": "string", "metadata": {"description": "Address of the bridge without a slash at its end, such as https://bridge.corp.example"}},
            "TokenSecretUri": {"type": "string", "metadata": {"description": "Address of the secret that holds the bridge's token, such as https://soc-vault.vault.azure.net/secrets/quarantine-bridge-token. Without a version, the newest is read."}},
            "Mode": {"type": "string", "defaultValue": "approve", "allowedValues": ["shadow", "approve", "enforce"], "metadata": {"description": "How far an action may go at most. More than what the token and its source may do changes nothing."}},
            "WaitFor": {"type": "string", "defaultValue": "PT1H", "metadata": {"description": "How long to wait for the outcome, ISO 8601. A device that is offline can take days."}},
        },
        "variables": {"MicrosoftSentinelConnectionName": "[concat('MicrosoftSentinel-', parameters('PlaybookName'))]"},
        "resources": [
            {
                "type": "Microsoft.Web/connections",
                "apiVersion": "2016-06-01",
                "name": "[variables('MicrosoftSentinelConnectionName')]",
                "location": "[resourceGroup().location]",
                "kind": "V1",
                "properties": {
                    "displayName": "[variables('MicrosoftSentinelConnectionName')]",
                    "customParameterValues": {},
                    "parameterValueType": "Alternative",
                    "api": {"id": api},
                },
            },
            {
                "type": "Microsoft.Logic/workflows",
                "apiVersion": "2019-05-01",
                "name": "[parameters('PlaybookName')]",
                "location": "[resourceGroup().location]",
                "identity": {"type": "SystemAssigned"},
                "tags": {
                    "LogicAppsCategory": "security",
                    "hidden-SentinelTemplateName": f"Quarantine-File-{name}-trigger",
                    "hidden-SentinelTemplateVersion": "1.0",
                },
                "dependsOn": [connection],
                "properties": {
                    "state": "Enabled",
                    "definition": definition,
                    "parameters": {
                        "$connections": {
                            "value": {
                                "azuresentinel": {
                                    "connectionId": connection,
                                    "connectionName": "[variables('MicrosoftSentinelConnectionName')]",
                                    "id": api,
                                    "connectionProperties": {"authentication": {"type": "ManagedServiceIdentity"}},
                                }
                            }
                        },
                        **{value: {"value": f"[parameters('{value}')]"} for value in values},
                        # Other clouds have other ones.
                        "ResourceManager": {"value": "[substring(environment().resourceManager, 0, lastIndexOf(environment().resourceManager, '/'))]"},
                        "KeyVaultAudience": {"value": "[concat('https://', substring(environment().suffixes.keyvaultDns, 1))]"},
                    },
                },
            },
        ],
        "outputs": {
            "principalId": {
                "type": "string",
                "metadata": {"description": "Object id of the playbook's identity, for its two roles."},
                "value": "[reference(resourceId('Microsoft.Logic/workflows', parameters('PlaybookName')), '2019-05-01', 'full').identity.principalId]",
            }
        },
    }


def all_templates():
    """Returns the path and the text of each playbook."""
    made = {"incident": incident(), "alert": alert(), "entity": entity()}
    return {HERE / f"{name}-trigger/azuredeploy.json": json.dumps(template(name, case), indent=2) + "\n" for name, case in made.items()}


def differing():
    """Returns those that are not as they would be written."""
    return [path for path, text in all_templates().items() if not path.exists() or path.read_text() != text]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit("\n".join(map(str, differing())) or None)
    for path, text in all_templates().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
