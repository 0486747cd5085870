#!/usr/bin/env python3
"""The bill of materials is one, by CycloneDX's own schema; it is the same each time, and it has what Cargo.lock has.

Needs cyclonedx-python-lib[json-validation].
"""

import json
import pathlib
import subprocess
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]
# In the binary, or not, whatever else changes.
REQUIRED = {"actix-http", "rusqlite", "libsqlite3-sys", "aws-lc-sys", "rustls", "tokio", "reqwest"}
EXCLUDED = {"serde_derive", "cc"}
ABSENT = {"proptest", "jsonschema", "windows-sys"}


def made():
    return subprocess.run([ROOT / "deploy/sbom.py"], check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    text = made()
    if text != made():
        sys.exit("the bill of materials differs from one time to the next")
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        sys.exit(f"the bill of materials is no CycloneDX 1.6: {error}")
    bill = json.loads(text)
    locked = {(it["name"], it["version"], it.get("checksum")) for it in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    scopes = {}
    for it in bill["components"]:
        scopes.setdefault(it["scope"], set()).add(it["name"])
        if (it["name"], it["version"], it["hashes"][0]["content"]) not in locked:
            sys.exit(f"{it['purl']} is not what Cargo.lock has")
        if not it.get("licenses"):
            sys.exit(f"{it['purl']} has no licence")
    refs = [it["ref"] for it in bill["dependencies"]]
    known = {bill["metadata"]["component"]["bom-ref"], *(it["bom-ref"] for it in bill["components"])}
    needs = {other for it in bill["dependencies"] for other in it["dependsOn"]}
    if set(refs) != known or len(refs) != len(known) or not needs <= known:
        sys.exit("the dependencies name what is not there, or not all of it")
    for scope, names in (("required", REQUIRED), ("excluded", EXCLUDED)):
        if not names <= scopes[scope]:
            sys.exit(f"{sorted(names - scopes[scope])} should be {scope}")
    if ABSENT & (scopes["required"] | scopes["excluded"]):
        sys.exit(f"{sorted(ABSENT & (scopes['required'] | scopes['excluded']))} should not be there")
    print(f"{len(scopes['required'])} crates are in the binary, {len(scopes['excluded'])} build it")


if __name__ == "__main__":
    main()
