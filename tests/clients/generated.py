"""Clients that are generated from openapi.yaml run the quickstart against the real server. Run by .ci/run.

    python3 tests/clients/generated.py BINARY --node DIR

Needs openapi-python-client in this Python, and the packages of tests/api/package.json in DIR/node_modules.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# The tree stays as it is.
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))

from rehearsal import Failed, Rehearsal  # noqa: E402

DOCUMENT = HERE.parent.parent / "openapi.yaml"
TSC = ["--strict", "--skipLibCheck", "--module", "commonjs", "--target", "es2022", "--moduleResolution", "node10",
       "--lib", "es2022,dom"]


def python_client(folder):
    generator = pathlib.Path(sys.executable).parent / "openapi-python-client"
    made = subprocess.run([generator, "generate", "--path", DOCUMENT, "--output-path", folder / "bridge_client", "--meta", "none"],
                          capture_output=True, text=True)
    # It leaves out what it does not understand and says so; all that a playbook needs must be there.
    if made.returncode != 0 or "Unable to process" in made.stdout:
        raise Failed(made.stdout + made.stderr)
    shutil.copy(HERE / "quickstart.py", folder)
    return [sys.executable, "quickstart.py"]


def typescript_client(folder, node):
    tools = node.resolve() / "node_modules"
    (folder / "node_modules").symlink_to(tools)
    subprocess.run([tools / ".bin/openapi-typescript", DOCUMENT, "-o", "schema.d.ts"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(HERE / "quickstart.ts", folder)
    subprocess.run([tools / ".bin/tsc", *TSC, "quickstart.ts"], cwd=folder, check=True)
    return ["node", "--unhandled-rejections=strict", "quickstart.js"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--node", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Rehearsal(arguments.binary) as bridge:
        folder = pathlib.Path(folder)
        tokens = {"BRIDGE_URL": bridge.url, "ASKER_TOKEN": bridge.token("asker", ["actions:write"], source="playbooks"),
                  "PERSON_TOKEN": bridge.token("person", ["actions:read", "actions:approve", "actions:cancel"])}
        for name, command in (("Python", python_client(folder)), ("TypeScript", typescript_client(folder, arguments.node))):
            before = len(bridge.calls())
            subprocess.run(command, cwd=folder, env={**os.environ, **tokens}, check=True, timeout=120)
            calls = len(bridge.calls()) - before
            if calls != 2:
                raise Failed(f"{name}: Defender was called {calls} times, wanted 2")
            print(f"ok  the quickstart by the generated {name} client")


main()
