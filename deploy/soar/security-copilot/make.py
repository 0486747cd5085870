"""Writes plugin-openapi.yaml: the two operations that a Security Copilot plugin needs, cut out of openapi.yaml.

    python3 make.py           writes it; needs PyYAML
    python3 make.py --check   only says whether it is as this would write it

Security Copilot reads OpenAPI 3.0.1. A model fills in what it sends, so what it may choose is made narrow: each request has a
key, and goes no further than a person's approval.
"""

import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[2] / "openapi.yaml"
OUT = HERE / "plugin-openapi.yaml"
OPERATIONS = {
    ("/v1/actions", "post"): (
        "Ask for a file to be stopped and quarantined on a device.",
        "Use this only if the user asks for it, with a device and a SHA1 or SHA256 that the user or an alert names. It asks "
        "quarantine-bridge to have Microsoft Defender for Endpoint stop and quarantine one file on one device. A person has to "
        "approve it: the answer's state is then held. Tell the user the state and the id.",
    ),
    ("/v1/actions/{id}/status", "get"): (
        "Learn what became of a request to quarantine a file.",
        "Tells how an action of quarantine-bridge stands, by its id. succeeded: the file is quarantined. held: a person must approve "
        "it. submitted: Defender has it, and the device may be offline. Any other end means that the file was not quarantined.",
    ),
}
KEY = "The id of the alert, the device and the hash of the file, joined by hyphens. The same request has the same key."
# What a model needs of an answer; all of it is in openapi.yaml.
ANSWER = {
    "type": "object",
    "required": ["id", "state"],
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "The id of the action."},
        "state": {"$ref": "#/components/schemas/State"},
    },
}


def resolved(thing, document):
    """Returns a parameter, or what it refers to."""
    return document["components"][thing["$ref"].split("/")[2]][thing["$ref"].split("/")[3]] if "$ref" in thing else thing


def parameter(stated, document):
    """Returns a parameter with what is narrowed."""
    stated = resolved(stated, document)
    if stated["name"] == "Idempotency-Key":
        return {**stated, "required": True, "description": KEY}
    if stated["name"] == "Prefer":
        return {**stated, "required": True, "description": "Wait for the outcome.", "schema": {"type": "string", "enum": ["wait=20"]}}
    return stated


def operation(path, method, document):
    """Returns one operation with answers that a model can read."""
    stated = document["paths"][path][method]
    summary, description = OPERATIONS[path, method]
    answers = {"200": "It is over, or waits for a person.", "202": "It is on its way."}
    cut = {
        "operationId": stated["operationId"],
        "summary": summary,
        "description": description,
        "parameters": [parameter(stated, document) for stated in stated["parameters"]],
        "responses": {
            status: {"description": text, "content": {"application/json": {"schema": ANSWER}}} for status, text in answers.items()
        },
    }
    if "requestBody" in stated:
        cut["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RequestedAction"}}},
        }
    return cut


def written():
    """Returns the text of the document."""
    document = yaml.safe_load(SOURCE.read_text())
    schemas = document["components"]["schemas"]
    asked = schemas["RequestedAction"]
    asked["required"] = [*asked["required"], "occurred_at", "mode"]
    asked["properties"]["mode"] = {"type": "string", "enum": ["approve"], "description": "A person approves it."}
    paths = {}
    for path, method in OPERATIONS:
        paths.setdefault(path, {})[method] = operation(path, method, document)
    cut = {
        "openapi": "3.0.1",
        "info": {"title": "quarantine-bridge", "version": document["info"]["version"], "description": "Stop and quarantine a file on a device."},
        "servers": [{"url": "https://bridge.corp.example"}],
        "paths": paths,
        "components": {"schemas": {name: schemas[name] for name in ("RequestedAction", "AlertId", "Severity", "State")}},
    }
    head = "# Made from openapi.yaml by make.py; change that one.\n"
    return head + yaml.dump(cut, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True)


class Plain(yaml.SafeDumper):
    """Writes what comes twice twice: not every reader knows anchors."""

    def ignore_aliases(self, data):
        return True


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if OUT.exists() and OUT.read_text() == written() else f"{OUT} is not as make.py writes it")
    OUT.write_text(written())
