"""The n8n workflow, run by a small stand-in for n8n."""

import json
import pathlib
import subprocess

import kits
import no_code

HERE = pathlib.Path(__file__).resolve().parent
WORKFLOW = kits.SOAR / "n8n" / "quarantine-bridge-action.workflow.json"


class Kit:
    tries = 4

    def ask(self, url, token, case):
        item = {"alert_id": case.incident, "severity": case.severity, "title": "a workflow", "occurred_at": case.occurred_at,
                "machine": case.machine, "file_hash": case.file_hash}
        credential = {"name": "Authorization", "value": f"Bearer {token}"}
        given = {"workflow": json.loads(WORKFLOW.read_text()), "item": item, "credential": credential, "url": url}
        run = subprocess.run(["node", HERE / "n8n.js"], input=json.dumps(given), capture_output=True, text=True, timeout=120)
        told = json.loads(run.stdout)
        return no_code.Told(told.get("outcome"), told.get("id"), told.get("error"))


def run(stage, checks):
    no_code.all_of(stage, Kit(), checks)
