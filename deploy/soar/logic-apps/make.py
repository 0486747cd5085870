"""Writes apiDefinition.swagger.json, the custom connector's document, from openapi.yaml: connectors take Swagger 2.0 only.

    python3 make.py           writes it
    python3 make.py --check   only says whether it is as this would write it

It has what a playbook needs and not the whole API: a connector shows every operation in its list of steps.
"""

import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
OPENAPI = HERE.parents[2] / "openapi.yaml"
WRITTEN = HERE / "apiDefinition.swagger.json"

# What a step is called in the designer. `important` stands first in its list.
OPERATIONS = {
    "requestAction": ("Quarantine a file on a device", "important"),
    "getActionStatus": ("Get how an action stands", "important"),
    "requestActions": ("Quarantine several files", "none"),
    "getAction": ("Get an action with its history", "none"),
    "listActions": ("List actions", "none"),
    "cancelAction": ("Cancel an action", "none"),
    "approveAction": ("Approve a held action", "advanced"),
    "denyAction": ("Deny a held action", "advanced"),
}
# The words of titles that are not written as others are.
WORDS = {"id": "ID", "url": "URL", "ip": "IP", "dns": "DNS", "aad": "Entra", "sha1": "SHA1", "sha256": "SHA256", "md5": "MD5"}
# What both forms say in the same way.
SAME = ("type", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "required",
        "default", "description")


class Unknown(Exception):
    """openapi.yaml says something that this does not know how to write."""


class Document:
    """openapi.yaml, and which of its schemas were needed so far."""

    def __init__(self, text):
        self.all = yaml.safe_load(text)
        self.needed = {}

    def resolved(self, thing):
        """Follows a reference to what is no schema."""
        while "$ref" in thing:
            thing = self.part(thing["$ref"])
        return thing

    def part(self, reference):
        found = self.all
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return found

    def schema(self, schema):
        """Writes a schema; those that it refers to are remembered."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name not in self.needed:
                self.needed[name] = None
                self.needed[name] = self.schema(self.part(schema["$ref"]))
            return {"$ref": f"#/definitions/{name}"}
        known = {*SAME, "nullable", "enum", "items", "properties", "additionalProperties"}
        if unknown := set(schema) - known:
            raise Unknown(f"{unknown} of a schema")
        made = {name: schema[name] for name in SAME if name in schema}
        if schema.get("nullable"):
            made["x-nullable"] = True
        if "enum" in schema:
            made["enum"] = [value for value in schema["enum"] if value is not None]
        if "items" in schema:
            made["items"] = self.schema(schema["items"])
        if "properties" in schema:
            made["properties"] = {name: self.member(name, member, schema) for name, member in schema["properties"].items()}
        if "additionalProperties" in schema:
            made["additionalProperties"] = schema["additionalProperties"]
        return made

    def member(self, name, member, parent):
        made = self.schema(member)
        if "$ref" in made and "properties" not in self.part(member["$ref"]):
            # A title beside a reference would not be read, so what is only a text stands where it is used.
            made = self.schema(self.part(member["$ref"]))
        if "$ref" in made:
            return made
        # What is asked for has required members; of what is answered, visibility says nothing.
        is_asked_for = parent.get("additionalProperties") is False
        shown = {"x-ms-visibility": "important" if name in parent.get("required", []) else "none"} if is_asked_for else {}
        return {**made, "x-ms-summary": title(name), **shown}

    def parameter(self, parameter):
        parameter = self.resolved(parameter)
        schema = parameter["schema"]
        while "$ref" in schema:
            schema = self.part(schema["$ref"])
        made = {name: parameter[name] for name in ("name", "in", "description")}
        made["required"] = parameter.get("required", False)
        made.update({name: value for name, value in self.schema(schema).items() if name not in ("description", "x-nullable")})
        made["x-ms-summary"] = title(parameter["name"])
        # Both headers belong into every step that asks; filters are for whoever looks for them.
        is_important = made["required"] or parameter["in"] == "header"
        made["x-ms-visibility"] = "important" if is_important else "none"
        if parameter["in"] == "path":
            made["x-ms-url-encoding"] = "single"
        return made

    def response(self, response):
        response = self.resolved(response)
        made = {"description": response["description"].strip()}
        contents = [content for media_type, content in response["content"].items() if media_type.endswith("json")]
        if len(contents) != 1:
            raise Unknown(f"{list(response['content'])} of a response")
        made["schema"] = self.schema(contents[0]["schema"])
        headers = {name: self.resolved(header) for name, header in response.get("headers", {}).items()}
        if headers:
            made["headers"] = {name: {"description": header["description"].strip(), "type": "string"} for name, header in headers.items()}
        return made

    def operation(self, operation):
        summary, visibility = OPERATIONS[operation["operationId"]]
        parameters = [self.parameter(parameter) for parameter in operation.get("parameters", [])]
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            parameters.append({"name": "body", "in": "body", "required": True, "x-ms-summary": "Request", "schema": self.schema(content["schema"])})
        return {
            "operationId": operation["operationId"],
            "summary": summary,
            "description": f"{operation['summary']}\n\n{operation['description'].strip()}",
            "x-ms-visibility": visibility,
            "parameters": parameters,
            "responses": {status: self.response(response) for status, response in operation["responses"].items()},
        }


def title(name):
    """Returns a name as the designer shows it: `alert_id` is Alert ID."""
    words = [WORDS.get(word.lower(), word.lower()) for word in re.split(r"[_-]", name)]
    return words[0][:1].upper() + " ".join(words)[1:]


def swagger(text):
    """Returns the connector's document."""
    document = Document(text)
    paths = {}
    for path, item in document.all["paths"].items():
        operations = {method: operation for method, operation in item.items() if operation["operationId"] in OPERATIONS}
        if operations:
            paths[path] = {method: document.operation(operation) for method, operation in operations.items()}
    written = {operation["operationId"] for item in paths.values() for operation in item.values()}
    if missing := set(OPERATIONS) - written:
        raise Unknown(f"{missing} are not in openapi.yaml")
    info = document.all["info"]
    return {
        "swagger": "2.0",
        "info": {
            "title": info["title"],
            "description": "Has Microsoft Defender for Endpoint stop and quarantine one file on one device, exactly once, with a record of why.",
            "version": info["version"],
        },
        # The connection says where the bridge is.
        "host": "bridge.corp.example",
        "basePath": "/",
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json", "application/problem+json"],
        "paths": paths,
        "definitions": dict(sorted(document.needed.items())),
        "securityDefinitions": {"api_token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        "security": [{"api_token": []}],
        "tags": [],
    }


def text():
    """Returns the connector's document as it is written."""
    return json.dumps(swagger(OPENAPI.read_text()), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(None if WRITTEN.exists() and WRITTEN.read_text() == text() else f"{WRITTEN} is not as make.py would write it")
    WRITTEN.write_text(text())
