"""The playbooks of Microsoft Sentinel, run action by action."""

import dataclasses
import importlib.util
import json
import re

import kits
import logic_apps
from scenarios import Case
from stage import BAD_GATEWAY, OVER_QUOTA, PROTECTED, SHA1

FOLDER = kits.SOAR / "sentinel"
INCIDENT_ID = "/subscriptions/0/resourceGroups/soc/providers/Microsoft.SecurityInsights/Incidents/"
VAULT = "https://soc-vault.vault.azure.net/secrets/quarantine-bridge-token"
OTHER_SHA1 = "3d2f7a9c1e5b8046d7c3a1f9e2b5d8c4a6071b3e"
SHA256 = "5b1d0c7e9f2a4b6c8d0e1f3a5b7c9d1e2f4a6b8c0d2e4f6a8b0c1d3e5f7a9b1c"


@dataclasses.dataclass
class Incident:
    """What Sentinel knows."""

    case: Case
    hosts: list = None
    hashes: list = None
    title: str = "Malware on a device"

    def __post_init__(self):
        self.hosts = self.hosts or [{"HostName": "ws-0147", "DnsDomain": "corp.example", "MdatpDeviceId": self.case.machine}]
        self.hashes = self.hashes or [{"Algorithm": "SHA1", "Value": self.case.file_hash}]

    def incident(self):
        properties = {"title": self.title, "severity": self.case.severity.capitalize(), "createdTimeUtc": self.case.occurred_at,
                      "incidentUrl": "https://portal.azure.com/#incident", "incidentNumber": 7, "relatedEntities": ["these"]}
        return {"id": INCIDENT_ID + self.case.incident, "name": self.case.incident, "properties": properties}

    def trigger_body(self, name):
        """Returns what the trigger hands to the playbook."""
        if name == "incident":
            return {"object": self.incident()}
        if name == "alert":
            return {"SystemAlertId": self.case.incident, "Severity": self.case.severity.capitalize(), "Entities": "these",
                    "StartTimeUtc": self.case.occurred_at, "AlertDisplayName": self.title, "WorkspaceId": "w",
                    "WorkspaceSubscriptionId": "s", "WorkspaceResourceGroup": "soc"}
        entity = {"Algorithm": self.hashes[0]["Algorithm"], "Value": self.hashes[0]["Value"]}
        return {"IncidentArmID": INCIDENT_ID + self.case.incident, "Entity": {"properties": entity}}


class Sentinel:
    """Sentinel around one playbook."""

    def __init__(self, name, url, wait="PT15S"):
        self.name, self.url = name, url
        template = json.loads((FOLDER / f"{name}-trigger/azuredeploy.json").read_text())
        parameters = {"BridgeUrl": url, "TokenSecretUri": VAULT, "Mode": "enforce", "WaitFor": wait}
        resources = logic_apps.deployed(template, parameters)
        self.workflow = next(resource for resource in resources if resource["type"] == "Microsoft.Logic/workflows")
        self.template = template
        self.token_answer = None

    def comments(self, incident, token):
        """Runs the playbook for an incident; returns the comments that it writes."""
        made = []

        def connector(method, path, body):
            if path == "/Incidents/Comment":
                assert body["incidentArmId"] == INCIDENT_ID + incident.case.incident, body
                made.append(body["message"])
                return {}
            if path.startswith("/entities/"):
                assert body in ("these", ["these"]), body
                return {"Hosts": incident.hosts} if path == "/entities/host" else {"Filehashes": incident.hashes}
            assert method == "get" and path.startswith("/Incidents/subscriptions/s/resourceGroups/soc/workspaces/w/alerts/"), path
            return incident.incident()

        def cloud(method, uri, authentication):
            assert authentication["type"] == "ManagedServiceIdentity", authentication
            if uri == VAULT + "?api-version=7.4":
                assert authentication["audience"] == "https://vault.azure.net", authentication
                return self.token_answer or (200, {"value": token, "id": uri})
            assert authentication["audience"] == "https://management.azure.com", authentication
            path = uri.removeprefix("https://management.azure.com" + INCIDENT_ID + incident.case.incident)
            if (method, path) == ("GET", "?api-version=2024-03-01"):
                return 200, incident.incident()
            assert (method, path) == ("POST", "/entities?api-version=2024-03-01"), (method, path)
            hosts = [{"kind": "Host", "properties": {"hostName": h["HostName"], "dnsDomain": h.get("DnsDomain"),
                      "additionalData": {"MdatpDeviceId": h["MdatpDeviceId"]} if h.get("MdatpDeviceId") else None}} for h in incident.hosts]
            return 200, {"entities": [{"kind": "Account", "properties": {}}, *hosts]}

        logic_apps.Run(self.workflow, incident.trigger_body(self.name), self.url, connector, cloud)
        assert token not in json.dumps(made)
        return made


def outcomes(stage, checks, name):
    sentinel = Sentinel(name, stage.url)
    ways = [("succeeded", stage.token, "Succeeded", SHA1, 1), ("held", stage.approve_token, "Succeeded", SHA1, 0)]
    if name == "incident":
        ways += [("failed", stage.token, "Failed", SHA1, 1), ("timed_out", stage.token, "TimeOut", SHA1, 1),
                 ("denied", stage.token, "Succeeded", PROTECTED, 0)]
    for wanted, token, end, file_hash, calls in ways:
        case = Case(stage.machine(end), file_hash)
        comments = sentinel.comments(Incident(case), token)
        told = len(comments) == 1 and f"<b>{wanted}</b>. {sentinel.workflow['properties']['definition']['parameters']['Sentences']['defaultValue'][wanted]}"
        checks.holds(f"{name}: {wanted} is told", told and told in comments[0], comments)
        checks.holds(f"{name}: {wanted} took {calls} call of Defender", stage.calls(case.machine) == calls)
        action = stage.action(re.search(r"Action ([0-9a-f-]{36})\.", comments[0])[1])
        alert, said = action["alert"], (case.incident, "high", "Malware on a device")
        checks.holds(f"{name}: the action is about the case", (alert["id"], alert["severity"], alert["title"]) == said, alert)
        checks.holds(f"{name}: and about its device and file", (action["machine"]["id"], action["file"]["sha1"]) == (case.machine, file_hash), action)


def troubles(stage, checks):
    front, sentinel = stage.front, Sentinel("incident", stage.url)
    comments = sentinel.comments(Incident(Case(stage.machine())), "qb_wrong")
    checks.holds("a refused token is told", "not finished" in comments[0] and "HTTP 401" in comments[0], comments)
    front.always = BAD_GATEWAY
    comments = sentinel.comments(Incident(Case(stage.machine())), stage.token)
    checks.holds("502 is told, its page is text", "HTTP 502" in comments[0] and "&lt;html>" in comments[0] and "<html>" not in comments[0], comments)
    front.forget()
    front.plays = [BAD_GATEWAY, OVER_QUOTA]
    comments = sentinel.comments(Incident(Case(stage.machine())), stage.approve_token)
    keys = {headers["Idempotency-Key"] for headers, _ in front.posts()}
    checks.holds("troubles that pass do no harm", "<b>held</b>" in comments[0] and len(front.posts()) == 3 and len(keys) == 1, comments)
    sentinel.token_answer = (403, {"error": {"code": "Forbidden"}})
    comments = sentinel.comments(Incident(Case(stage.machine())), stage.token)
    checks.holds("a vault that says no is told", len(comments) == 1 and "key vault, HTTP 403" in comments[0], comments)
    # Without the preference, which the proxy takes out, it waits by Location.
    front.without = ["prefer"]
    sentinel.token_answer = None
    case = Case(stage.machine())
    comments = sentinel.comments(Incident(case), stage.token)
    asked = [path for method, path, *_ in front.seen if method == "GET"]
    checks.holds("after 202 it asks where Location says", "<b>succeeded</b>" in comments[0] and len(asked) > 1, comments, asked)
    waiting = Sentinel("incident", stage.url, wait="PT2S")
    comments = waiting.comments(Incident(Case(stage.machine("offline"))), stage.token)
    checks.holds("an offline device is told", len(comments) == 1 and "<b>not over</b> within PT2S" in comments[0], comments)
    front.without = []


def run_again(stage, checks):
    front, sentinel = stage.front, Sentinel("incident", stage.url)
    front.forget()
    case = Case(stage.machine())
    first, second = (sentinel.comments(Incident(case), stage.approve_token) for _ in range(2))
    checks.holds("a run that is made again tells of the same action", first == second, first, second)
    (headers, body), (other_headers, other_body) = front.posts()
    key = headers["Idempotency-Key"]
    checks.holds("under the same key", key == other_headers["Idempotency-Key"] and body == other_body, key)
    checks.holds("which is of the draft's form", bool(re.fullmatch(r'"[!-~]{1,255}"', key)), key)
    changed = dataclasses.replace(case, severity="low")
    comments = sentinel.comments(Incident(changed), stage.approve_token)
    checks.holds("another severity is refused and told", "HTTP 422" in comments[0] and "Idempotency-Key" in comments[0], comments)
    long_name = [{"HostName": "ü" * 60, "DnsDomain": "corp.example"}]
    sentinel.comments(Incident(Case("no id"), hosts=long_name), stage.approve_token)
    checks.holds("a long name leaves the key in its form", bool(re.fullmatch(r'"[!-~]{1,255}"', front.posts()[-1][0]["Idempotency-Key"])))


def which_device_and_file(stage, checks):
    front, sentinel = stage.front, Sentinel("incident", stage.url)
    front.forget()
    two = [{"HostName": "a", "MdatpDeviceId": stage.machine()}, {"HostName": "b", "MdatpDeviceId": stage.machine()}]
    comments = sentinel.comments(Incident(Case(stage.machine()), hosts=two), stage.token)
    checks.holds("several devices: nothing is asked for", not front.posts() and "2 are named" in comments[0], comments)
    md5 = [{"Algorithm": "MD5", "Value": "44d88612fea8a8f36de82e1278abb02f"}]
    comments = sentinel.comments(Incident(Case(stage.machine()), hashes=md5), stage.token)
    checks.holds("an MD5 alone: nothing is asked for", not front.posts() and "0 are named" in comments[0], comments)
    both = [{"Algorithm": "SHA256", "Value": SHA256}, {"Algorithm": "SHA1", "Value": SHA1.upper()}]
    comments = sentinel.comments(Incident(Case(stage.machine()), hashes=both), stage.token)
    checks.holds("two hashes of one file are one request", len(front.posts()) == 1 and "<b>succeeded</b>" in comments[0], comments)
    files = [{"Algorithm": "SHA1", "Value": SHA1}, {"Algorithm": "SHA1", "Value": OTHER_SHA1}]
    case = Case(stage.machine())
    comments = sentinel.comments(Incident(case, hashes=files), stage.token)
    checks.holds("several files wait for a person, each", len(comments) == 2 and all("<b>held</b>" in c for c in comments), comments)
    checks.holds("and nothing is sent", stage.calls(case.machine) == 0)
    front.forget()
    name = [{"HostName": "<b>ws-1</b>", "DnsDomain": "corp.example"}]
    comments = sentinel.comments(Incident(Case("no id"), hosts=name), stage.token)
    body = json.loads(front.posts()[0][1])
    checks.holds("without Defender's id a device is named", body["machine"] == {"dns_name": "<b>ws-1</b>.corp.example"}, body)
    checks.holds("and its name is text in the comment", "&lt;b>ws-1&lt;/b>" in comments[0], comments)


def form(stage, checks):
    """What the gallery asks for, and what every definition must have."""
    made = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    make = importlib.util.module_from_spec(made)
    made.loader.exec_module(make)
    checks.holds("the templates are as make.py writes them", make.differing() == [], make.differing())
    client = kits.load(kits.SOAR / "python/quarantine_bridge_client.py")
    checks.holds("their sentences are the client's", make.SENTENCES == client.SENTENCES)
    for name in ("incident", "alert", "entity"):
        template = Sentinel(name, stage.url).template
        metadata = template["metadata"]
        asked = ("title", "description", "prerequisites", "postDeployment", "lastUpdateTime", "entities", "tags", "support", "author", "releaseNotes")
        checks.holds(f"{name}: the gallery's block is whole", all(metadata.get(key) for key in asked), metadata)
        checks.holds(f"{name}: no secret is a parameter", "token" not in {key.lower() for key in template["parameters"]})
        checks.holds(f"{name}: there is a name to choose", "PlaybookName" in template["parameters"])


def run(stage, checks):
    form(stage, checks)
    for name in ("incident", "alert", "entity"):
        outcomes(stage, checks, name)
    troubles(stage, checks)
    run_again(stage, checks)
    which_device_and_file(stage, checks)
