"""The custom connector: what its policies make of a connection is taken by the bridge, and its README's loop ends."""

import json
import re
import urllib.request

import yaml

import kits
from stage import answer_of, now, SHA1

FOLDER = kits.SOAR / "logic-apps"
OPENAPI = kits.SOAR.parents[1] / "openapi.yaml"


def connected(stage, token):
    """Returns the address and the headers that the policies make of a connection."""
    properties = json.loads((FOLDER / "apiProperties.json").read_text())["properties"]
    connection = {"bridge_url": stage.url, "api_token": token}
    assert set(connection) == set(properties["connectionParameters"]), properties
    assert properties["connectionParameters"]["api_token"]["type"] == "securestring"
    filled = lambda text: re.sub(r"@connectionParameters\('(\w+)'\)", lambda found: connection[found[1]], text)
    url, headers = None, {}
    for policy in properties["policyTemplateInstances"]:
        parameters = {name.rsplit(".")[-1]: filled(value) for name, value in policy["parameters"].items()}
        if policy["templateId"] == "dynamichosturl":
            url = parameters["urlTemplate"]
        else:
            assert (policy["templateId"], parameters["existsAction"]) == ("setheader", "override"), policy
            headers[parameters["name"]] = parameters["value"]
    return url, headers


def operations():
    """Returns method, path and headers of the connector's operations."""
    document = json.loads((FOLDER / "apiDefinition.swagger.json").read_text())
    base = document["basePath"].rstrip("/")
    headers = lambda o: {parameter["name"] for parameter in o["parameters"] if parameter.get("in") == "header"}
    return {o["operationId"]: (method.upper(), base + path, headers(o)) for path, row in document["paths"].items()
            for method, o in row.items() if "operationId" in o}


def run(stage, checks):
    named = operations()
    readme = (FOLDER / "README.md").read_text()
    checks.holds("the README names operations that there are", all(f"`{name}`" in readme for name in ("requestAction", "getActionStatus")))
    pending = set(re.search(r"Until `state` is none of (.*?): ", readme, re.S)[1].replace("`", "").replace("\n", " ").replace(",", " ").split())
    states = set(yaml.safe_load(OPENAPI.read_text())["components"]["schemas"]["State"]["enum"])
    over = {"succeeded", "failed", "timed_out", "cancelled", "denied", "expired", "shadowed", "superseded", "rejected"}
    checks.holds("the README's loop knows all states that pass", pending == states - over - {"held"}, pending)

    def call(operation, token, path=(), body=None, **headers):
        url, connected_headers = connected(stage, token)
        method, where, offered = named[operation]
        data = json.dumps(body).encode() if body else None
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        checks.holds(f"{operation} offers what the README fills in", set(headers) <= offered, headers)
        headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url + where.format(**dict(path)), data, {**headers, **connected_headers}, method=method)
        return answer_of(request)

    nobody = {"id": "00000000-0000-0000-0000-000000000000"}.items()
    for token, wanted in ((stage.token, 404), ("qb_wrong", 401), (stage.reader, 403)):
        status, _, said = call("getActionStatus", token, nobody)
        checks.holds(f"the README's test answers {wanted}", status == wanted, said)
    for token, end, wanted in ((stage.token, "Succeeded", "succeeded"), (stage.approve_token, "Succeeded", "held"), (stage.token, "Failed", "failed")):
        device = stage.machine(end)
        body = {"alert_id": f"flow-{device}", "severity": "high", "occurred_at": now(), "machine": {"id": device}, "file": {"sha1": SHA1}}
        key = f'"flow-{device}-{SHA1}"'
        status, _, said = call("requestAction", token, body=body, Idempotency_Key=key, Prefer="wait=1")
        first, looks = said, 0
        while said["state"] in pending and looks < 20:
            status, _, said = call("getActionStatus", token, {"id": said["id"]}.items(), Prefer="wait=5")
            looks += 1
        checks.holds(f"the README's loop ends with {wanted}", (status, said["state"]) == (200, wanted), said)
        _, _, again = call("requestAction", token, body=body, Idempotency_Key=key, Prefer="wait=1")
        checks.holds("under the same key it is the same action", again["id"] == first["id"], again)
        status, _, said = call("requestAction", token, body={**body, "severity": "low"}, Idempotency_Key=key)
        checks.holds("another body is refused", status == 422, said)
