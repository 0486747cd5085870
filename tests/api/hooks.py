"""What openapi.yaml cannot tell schemathesis: what is there, how deliveries are signed, and rules that reach over several members.

What is generated to be refused is left as it is.
"""

import copy
import json
import os
import re
import uuid
from random import Random, SystemRandom

import schemathesis
from requests.adapters import HTTPAdapter
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import observations

from rehearsal import signed

# What hypothesis seeds would give the same senders again.
senders = SystemRandom()
GIVEN = json.loads(os.environ["QUARANTINE_BRIDGE_REHEARSAL"])
# The ids that answers have named: what a link leads to is left as it is.
SEEN = set()
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
OWN, SPARE = GIVEN["token_id"], GIVEN["spare_id"]
DNS_NAME = re.compile(r"(?!localhost)([a-z_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z]([a-z0-9-]{0,61}[a-z])?)*", re.I)


IDEMPOTENCY_KEY = re.compile(r'"([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-~][ -~]{0,254}')
PLACEHOLDER = re.compile(r"(.)\1*")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Names what is there, and keeps the rules that stand in the document's words only."""
    path = case.operation.path
    # The same case is sent in the same way when it comes again, or a sequence of calls could not be played again.
    random = Random(repr((path, case.path_parameters, case.query, case.body)))
    if case.path_parameters and is_to_be_taken(case, ParameterLocation.PATH):
        case.path_parameters = name_what_is_there(path, dict(case.path_parameters), random)
    if path == "/v1/events" and is_to_be_taken(case, ParameterLocation.QUERY) and ("after" in case.query or random.random() < 0.75):
        # From there on something has happened, so there is something to hear.
        case.query = {**case.query, "after": GIVEN["event"]}
    if path == "/v1/undo-marks" and is_to_be_taken(case, ParameterLocation.QUERY) and "cursor" in case.query:
        case.query = {**case.query, "cursor": "{machine_id}-{sha1}".format(**random.choice(GIVEN["targets"]))}
    if is_to_be_taken(case, ParameterLocation.QUERY) and "sha1" in (case.query or {}):
        no_placeholders(case.query)
    if path == "/v1/events" and is_to_be_taken(case, ParameterLocation.HEADER) and "Last-Event-ID" in case.headers:
        case.headers["Last-Event-ID"] = GIVEN["event"]
    # Waiting is tried, not waited for.
    if str(case.headers.get("Prefer", "")).startswith("wait="):
        case.headers["Prefer"] = "wait=1"
    # A key that is used again for something else is refused, and rightly: each request has one of its own.
    if IDEMPOTENCY_KEY.fullmatch(str(case.headers.get("Idempotency-Key", ""))):
        case.headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
    if isinstance(case.body, dict) and is_to_be_taken(case, ParameterLocation.BODY):
        case.body = keep_the_rules(path, copy.deepcopy(case.body), random)
        if path == "/approve/{link}" and random.random() < 0.75:
            # What the page's form has.
            case.body["once"] = GIVEN["links"].get(case.path_parameters["link"], "")


@schemathesis.hook
def after_call(context, case, response):
    if "json" in response.headers.get("content-type", [""])[0]:
        SEEN.update(UUID.findall(response.text))


def is_to_be_taken(case, location):
    component = case.meta.components.get(location) if case.meta else None
    return component is None or not component.mode.is_negative


def name_what_is_there(path, given, random):
    if path.startswith("/v1/hooks/"):
        given["source"] = "splunk" if "token" in given else "soc"
        if "token" in given and random.random() < 0.75:
            given["token"] = GIVEN["path-token"]
    elif path == "/v1/callbacks/{name}/messages/{id}/replay":
        given.update(name="soar", id=random.choice(GIVEN["messages"]))
    elif given.get("id") not in SEEN and random.random() < 0.75:
        if path.startswith("/v1/actions/"):
            given["id"] = random.choice(GIVEN["actions"])
        elif path.startswith("/v1/deliveries/"):
            given["id"] = random.choice(GIVEN["deliveries"])
        elif path.startswith("/v1/callbacks/"):
            given["name"] = "soar"
        elif path.startswith("/v1/tokens/"):
            given["id"] = SPARE
        elif path.startswith("/approve/"):
            given["link"] = random.choice(list(GIVEN["links"]))
    return given


def keep_the_rules(path, body, random):
    if path == "/v1/actions":
        make_whole(body)
    elif path == "/v1/actions/batch":
        for action in body["actions"]:
            make_whole(action)
    elif path == "/v1/hooks/{source}":
        for target in body["targets"]:
            target["machine"].setdefault("id", "1a" * 20)
            target["file"].setdefault("sha1", "2b" * 20)
            target["machine"].pop("ip", None)
            if not DNS_NAME.fullmatch(target["machine"].get("dns_name", "ws1")):
                target["machine"]["dns_name"] = "ws-0147.corp.example"
            no_placeholders(target["file"])
        body["alert_id"] = no_space_around(body["alert_id"])
    elif path == "/v1/undo-marks/remove" and random.random() < 0.75:
        body.update(random.choice(GIVEN["targets"]))
    elif path == "/v1/actions/{id}/approve" and random.random() < 0.75:
        body["holds"] = ["mode"]
    elif path.endswith("openc2"):
        if "body" in body:
            # A message, and not a command as well.
            body = {name: body[name] for name in ("headers", "body") if name in body}
        # An id that is used again for something else is refused, and rightly.
        command = body["body"]["openc2"]["request"] if "body" in body else body
        command["command_id"] = str(uuid.uuid4())
    no_placeholders(body)
    if "reason" in body:
        body["reason"] = no_space_around(body["reason"])
    return body


def make_whole(action):
    """A file has a hash; an address is one of a device and has its time; a name is one of DNS."""
    machine, file = action["machine"], action["file"]
    if file.get("sha1") is None and file.get("sha256") is None:
        file["sha1"] = "2b" * 20
    no_placeholders(file)
    if machine.get("ip") is not None:
        machine["ip"] = "10.1.2.3"
        if action.get("occurred_at") is None:
            action["occurred_at"] = "2026-03-31T11:58:00Z"
    if machine.get("dns_name") is not None and not DNS_NAME.fullmatch(machine["dns_name"]):
        machine["dns_name"] = "ws-0147.corp.example"
    if all(value is None for value in machine.values()):
        machine["id"] = "1a" * 20
    if machine.get("id") is not None and file.get("sha1") is not None and machine["id"].lower() == file["sha1"].lower():
        machine["id"] = "1a" * 20
    for texts, name in ((action, "title"), (action, "note"), (file, "name"), (action, "alert_id")):
        if texts.get(name) is not None:
            texts[name] = no_space_around(texts[name])


def no_placeholders(hashes):
    for name, digits in (("sha1", 40), ("sha256", 64), ("md5", 32)):
        if hashes.get(name) is not None and PLACEHOLDER.fullmatch(hashes[name]):
            hashes[name] = ("2b" * digits)[:digits]


def no_space_around(text):
    return text if text and text == text.strip() else f"x{text[:490]}x"


@schemathesis.check
def openc2_tells_of_an_action_that_came_to_nothing(context, response, case):
    """The one reason for OpenC2's 500."""
    if case.operation.path.endswith("openc2") and response.status_code == 500:
        said = response.json()
        said = said["body"]["openc2"]["response"] if "body" in said else said
        assert said["results"]["x-qbridge"]["state"] in ("failed", "rejected", "timed_out", "cancelled", "expired", "superseded"), said


send = HTTPAdapter.send


def send_as_a_sender(self, request, **options):
    # Each request comes from a client of its own, as the proxy says: the limit on failed proofs is one by address.
    request.headers["X-Forwarded-For"] = f"2001:db8:{senders.getrandbits(16):x}:{senders.getrandbits(16):x}::1"
    # One in four stays as it was made, and is refused.
    if request.path_url.startswith("/v1/hooks/soc") and senders.random() < 0.75:
        body = request.body or b""
        request.headers.update(signed(GIVEN["whsec"], body if isinstance(body, bytes) else body.encode()))
    # The token in use is not to be revoked; another one is.
    request.url = request.url.replace(f"/v1/tokens/{OWN}/", f"/v1/tokens/{SPARE}/")
    return send(self, request, **options)


HTTPAdapter.send = send_as_a_sender

own_path = observations._same_origin_path


def own_path_if_any(value, origin):
    # An answer may show a text that begins like an address and is none, such as `http://[`; schemathesis ended with an error then.
    try:
        return own_path(value, origin)
    except ValueError:
        return None


observations._same_origin_path = own_path_if_any
