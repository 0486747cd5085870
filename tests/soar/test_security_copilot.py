"""The Security Copilot plugin: what its documents let a model send is taken, held, and understood."""

import importlib.util
import json
import urllib.request

import yaml

import kits
from stage import SHA1, answer_of, now

FOLDER = kits.SOAR / "security-copilot"


class Copilot:
    """Security Copilot: an address and a key from the set-up, operations from the plugin's API document."""

    def __init__(self, url, token):
        self.manifest = yaml.safe_load((FOLDER / "plugin.yaml").read_text())
        self.document = yaml.safe_load((FOLDER / "plugin-openapi.yaml").read_text())
        descriptor = self.manifest["Descriptor"]
        (group,) = self.manifest["SkillGroups"]
        (setting,) = descriptor["Settings"]
        assert (group["Format"], group["Settings"]["EndpointUrlSettingName"]) == ("API", setting["Name"]), group
        assert descriptor["SupportedAuthTypes"] == ["ApiKey"], descriptor
        how = descriptor["Authorization"]
        assert (how["Type"], how["Location"]) == ("APIKey", "Header"), how
        self.url, self.headers = url, {how["Key"]: f"{how['AuthScheme']} {token}"}

    def use(self, skill, values, body=None):
        """Uses a skill as the document describes it; returns status and JSON."""
        for path, row in self.document["paths"].items():
            for method, stated in row.items():
                if stated["operationId"] == skill:
                    headers = {"Content-Type": "application/json", **self.headers}
                    for parameter in stated["parameters"]:
                        value = values.get(parameter["name"], parameter["schema"].get("enum", [None])[0])
                        assert value or not parameter["required"], parameter
                        if parameter["in"] == "header":
                            headers[parameter["name"]] = value
                        else:
                            path = path.replace("{" + parameter["name"] + "}", value)
                    data = json.dumps(body).encode() if body else None
                    status, _, said = answer_of(urllib.request.Request(self.url + path, data, headers, method=method.upper()))
                    return status, said
        raise AssertionError(f"no skill {skill}")


def form(checks, copilot):
    spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    checks.holds("the API document is as make.py writes it", make.OUT.read_text() == make.written())
    descriptor = copilot.manifest["Descriptor"]
    checks.holds("the name has no character that is not allowed", not set(descriptor["Name"]) & set("/\\?#@"))
    checks.holds("names and descriptions are not too long", len(descriptor["DisplayName"]) <= 40
                 and len(descriptor["DescriptionDisplay"]) <= 200 and len(descriptor["Description"]) <= 16_000)
    checks.holds("it is of a version that is read", copilot.document["openapi"] in ("3.0.0", "3.0.1"))
    asked = copilot.document["components"]["schemas"]["RequestedAction"]
    checks.holds("a model can ask for no more than an approval", asked["properties"]["mode"]["enum"] == ["approve"] and "mode" in asked["required"])
    text = (FOLDER / "plugin-openapi.yaml").read_text()
    schemas = copilot.document["components"]["schemas"]
    checks.holds("every reference is there", {line.rsplit("/", 1)[1].strip("'") for line in text.splitlines() if "$ref" in line} == set(schemas))


def run(stage, checks):
    copilot = Copilot(stage.url, stage.token)
    form(checks, copilot)
    device = stage.machine()
    body = {"alert_id": "test-1", "severity": "high", "occurred_at": now(), "machine": {"id": device}, "file": {"sha1": SHA1}, "mode": "approve"}
    key = {"Idempotency-Key": f"test-1-{device}-{SHA1}"}
    status, said = copilot.use("requestAction", key, body)
    checks.holds("a request is held, whatever the token may do", (status, said["state"]) == (200, "held"), said)
    status, again = copilot.use("requestAction", key, body)
    checks.holds("asked again it is the same", (status, again["id"]) == (200, said["id"]), again)
    status, other = copilot.use("requestAction", {"Idempotency-Key": "a-model-makes-another"}, body)
    checks.holds("under another key too", (status, other["id"]) == (200, said["id"]) and stage.calls(device) == 0, other)
    status, seen = copilot.use("getActionStatus", {"id": said["id"]})
    checks.holds("what became of it is told", (status, seen["state"]) == (200, "held"), seen)
    status, _ = copilot.use("requestAction", key, {**body, "severity": "low"})
    checks.holds("another request under the key is refused", status == 422)
    status, _ = Copilot(stage.url, "qb_wrong").use("requestAction", key, body)
    checks.holds("a refused token is refused", status == 401)
    states = copilot.document["components"]["schemas"]["State"]["enum"]
    checks.holds("the states that it knows are the bridge's", said["state"] in states)
