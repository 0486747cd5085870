#!/usr/bin/env python3
"""Writes the bill of materials of the binary to standard output: CycloneDX 1.6, JSON, the same text from the same commit.

    deploy/sbom.py [--target TRIPLE] > sbom.cdx.json

It has what cargo compiles into the binary for that target: crates with their exact versions, checksums and licences, and which needs
which. What only builds it (build scripts, macros) has the scope `excluded`; what only tests need is left out. Needs cargo and Python 3.11.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMESPACE = uuid.UUID("5c0f1c2e-7d0a-5b53-9a52-0d5a5c2f7a11")


def metadata(target):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def checksums():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(it["name"], it["version"]): it.get("checksum") for it in lock["package"]}


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])


def reached(nodes, packages, root):
    """What is compiled in, and what is needed at all. What a macro or a build script needs is not in the binary."""
    compiled, needed = set(), {root}
    waiting = [(root, True)]
    while waiting:
        package, is_compiled = waiting.pop()
        is_compiled = is_compiled and not is_macro(packages[package])
        if package in (compiled if is_compiled else needed - {root}):
            continue
        needed.add(package)
        if is_compiled:
            compiled.add(package)
        for dependency in nodes[package]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            if None in kinds:
                waiting.append((dependency["pkg"], is_compiled))
            elif "build" in kinds:
                waiting.append((dependency["pkg"], False))
    return compiled, needed


def component(package, checksum, scope):
    purl = f"pkg:cargo/{package['name']}@{package['version']}"
    made = {"type": "library", "bom-ref": purl, "name": package["name"], "version": package["version"], "purl": purl, "scope": scope}
    if package.get("license"):
        # Cargo's old way of writing OR.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def main():
    target = sys.argv[sys.argv.index("--target") + 1] if "--target" in sys.argv else "x86_64-unknown-linux-gnu"
    facts = metadata(target)
    packages = {it["id"]: it for it in facts["packages"]}
    nodes = {it["id"]: it for it in facts["resolve"]["nodes"]}
    root = facts["resolve"]["root"]
    compiled, needed = reached(nodes, packages, root)
    sums = checksums()
    refs = {it: f"pkg:cargo/{packages[it]['name']}@{packages[it]['version']}" for it in needed}
    components = [
        component(packages[it], sums[packages[it]["name"], packages[it]["version"]],
                  "required" if it in compiled else "excluded")
        for it in sorted(needed - {root}, key=refs.get)
    ]
    kept = {it: [dependency["pkg"] for dependency in nodes[it]["deps"]
                 if {kind["kind"] for kind in dependency["dep_kinds"]} & {None, "build"} and dependency["pkg"] in needed] for it in needed}
    dependencies = [{"ref": refs[it], "dependsOn": sorted({refs[other] for other in kept[it]})} for it in sorted(needed, key=refs.get)]
    own = packages[root]
    about = component(own, None, "required") | {"type": "application", "description": own["description"]}
    del about["scope"]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or
                subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    body = {
        "components": components,
        "dependencies": dependencies,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": about,
            "properties": [{"name": "cargo:target", "value": target}],
        },
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    json.dump(head | body, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
