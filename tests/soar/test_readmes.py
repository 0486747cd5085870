"""What the READMEs tell people to configure and to type: the bridge takes it."""

import re
import shlex
import subprocess

import kits

HEAD = """
[store]
path = "bridge.db"
[defender]
tenant_id = "tenant"
client_id = "client"
client_secret = { file = "defender-secret" }
"""


def run(stage, checks):
    readmes = sorted(kits.SOAR.glob("*/README.md"))
    checks.holds("there are READMEs", len(readmes) > 0)
    index = (kits.SOAR / "README.md").read_text()
    for readme in readmes:
        name, text = readme.parent.name, readme.read_text()
        checks.holds(f"the index names {name}", f"({name}/README.md)" in index)
        sources = re.findall(r"```toml\n(\[sources\..*?)```", text, re.S)
        commands = re.findall(r"^ *(quarantine-bridge token create .*)$", text, re.M)
        checks.holds(f"{name} tells how to configure a source and to make a token", bool(sources and commands))
        for source in sources:
            stage.write("readme.toml", HEAD + source)
            checked = typed(stage, "quarantine-bridge check")
            checks.holds(f"{name}: the source is taken", checked.returncode == 0, checked.stdout, checked.stderr)
            for command in commands:
                made = typed(stage, command)
                checks.holds(f"{name}: the token is made", made.returncode == 0, made.stderr)


def typed(stage, command):
    arguments = [stage.binary, *shlex.split(command)[1:], "--config", "readme.toml"]
    return subprocess.run(arguments, cwd=stage.folder.name, capture_output=True, text=True)
