"""The n8n workflow in a real n8n, against the real bridge. Takes minutes, so .ci/run leaves it out.

    mkdir n8n && cp tests/soar/n8n-package.json n8n/package.json
    npm install --prefix n8n --ignore-scripts --no-audit --no-fund
    npm_config_nodedir=/usr npm rebuild --prefix n8n sqlite3
    python3 tests/soar/n8n_real.py BINARY n8n

With Node 20. n8n's own database needs one compiled part, sqlite3, whose sources come with it; `npm_config_nodedir` is where Node's headers
are (Debian: libnode-dev), if they are not to be fetched. The package `xlsx`, which the workflow does not use, is that of the registry: n8n asks
another host for it.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import no_code
from scenarios import Case, Checks
from stage import PROTECTED, SHA1, Stage
from test_n8n import WORKFLOW


class RealN8n:
    """An n8n with a folder of its own, used by its commands."""

    def __init__(self, folder, tools):
        self.folder, self.program = pathlib.Path(folder), pathlib.Path(tools).resolve() / "node_modules/.bin/n8n"
        quiet = {f"N8N_{name}_ENABLED": "false" for name in ("DIAGNOSTICS", "VERSION_NOTIFICATIONS", "PERSONALIZATION", "TEMPLATES", "RUNNERS")}
        self.environment = {**os.environ, **quiet, "N8N_USER_FOLDER": folder, "N8N_LOG_LEVEL": "info", "NO_PROXY": "127.0.0.1",
                            # The other one needs a second compiled part.
                            "N8N_EXPRESSION_ENGINE": "legacy"}

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise SystemExit(f"n8n {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def import_(self, kind, thing):
        path = self.folder / f"{kind}.json"
        path.write_text(json.dumps([thing]))
        self.run(f"import:{kind}", f"--input={path}")

    def ask(self, url, token, case):
        """Imports the workflow as its README tells, and one that calls it, and runs that."""
        data = {"name": "Authorization", "value": f"Bearer {token}"}
        self.import_("credentials", {"id": "bridge", "name": "quarantine-bridge", "type": "httpHeaderAuth", "data": data})
        workflow = json.loads(WORKFLOW.read_text().replace("https://bridge.corp.example", url))
        for node in workflow["nodes"]:
            if "credentials" in node:
                node["credentials"]["httpHeaderAuth"]["id"] = "bridge"
        self.import_("workflow", {**workflow, "id": "ask"})
        item = {"alert_id": case.incident, "severity": case.severity, "title": "a workflow", "occurred_at": case.occurred_at,
                "machine": case.machine, "file_hash": case.file_hash}
        self.import_("workflow", calling(item))
        told = self.run("execute", "--id=caller", "--rawOutput")
        if "\n{" not in told:
            raise SystemExit(f"n8n execute: {told}")
        run, _ = json.JSONDecoder().raw_decode(told[told.index("\n{") + 1:])
        run = run["data"]["resultData"]
        if "error" in run:
            return no_code.Told(error=run["error"]["message"])
        said = run["runData"]["Call"][0]["data"]["main"][0][0]["json"]
        return no_code.Told(said["outcome"], said["id"])


def calling(item):
    """Returns a workflow that calls ours with one item."""
    node = lambda name, kind, version, x, parameters: {"id": name, "name": name, "type": f"n8n-nodes-base.{kind}", "typeVersion": version,
                                                       "position": [x, 0], "parameters": parameters}
    to = lambda name: {"main": [[{"node": name, "type": "main", "index": 0}]]}
    nodes = [node("Start", "manualTrigger", 1, 0, {}), node("Alert", "code", 2, 200, {"jsCode": f"return [{{ json: {json.dumps(item)} }}];"}),
             node("Call", "executeWorkflow", 1, 400, {"source": "database", "workflowId": "ask"})]
    return {"id": "caller", "name": "Caller", "nodes": nodes, "connections": {"Start": to("Alert"), "Alert": to("Call")}, "active": False,
            "settings": {"executionOrder": "v1"}}


def main(binary, tools):
    checks = Checks("n8n")
    with Stage(binary) as stage, tempfile.TemporaryDirectory() as folder:
        n8n = RealN8n(folder, tools)
        ways = {"succeeded": (stage.token, "Succeeded", SHA1, 1), "failed": (stage.token, "Failed", SHA1, 1),
                "held": (stage.approve_token, "Succeeded", SHA1, 0), "not_done": (stage.token, "Succeeded", PROTECTED, 0)}
        for wanted, (token, end, file_hash, calls) in ways.items():
            case = Case(stage.machine(end), file_hash)
            told = [n8n.ask(stage.url, token, case) for _ in range(2 if wanted == "succeeded" else 1)]
            checks.holds(f"{wanted} is understood", told[0].outcome == wanted, told)
            checks.holds(f"{wanted} took {calls} call of Defender", stage.calls(case.machine) == calls)
            checks.holds(f"{wanted} again is the same", len(set(one.action_id for one in told)) == 1, told)
    print(f"n8n itself: {checks.passed} passed, {checks.failures} failed")
    sys.exit(1 if checks.failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
