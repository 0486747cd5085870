"""The steps of the Torq recipe, rendered and sent as Torq does, with the loop that the README tells."""

import re
import urllib.request

import yaml

import kits
import no_code
from stage import answer_of

STEPS = kits.SOAR / "torq" / "steps.yaml"
# Sixty looks are for its users.
LOOKS = 12


class Kit:
    tries = 4

    def ask(self, url, token, case):
        steps = yaml.safe_load(STEPS.read_text())
        event = {"id": case.incident, "severity": case.severity, "title": "a workflow", "occurred_at": case.occurred_at,
                 "machine": case.machine, "file_hash": case.file_hash}
        context = {"event": event, "workspace_variables": {"quarantine_bridge_url": url}}
        context["alert"] = {name: rendered(text, context, token) for name, text in steps["alert"].items()}
        status, context["ask"] = self.send(steps["ask"], context, token)
        if status >= 300:
            return no_code.Told(error=f"{status} {context['ask']['api_object']}")
        for _ in range(LOOKS):
            status, context["look"] = self.send(steps["look"], context, token)
            said = context["look"]["api_object"]
            state = said.get("state") if isinstance(said, dict) else None
            if state not in steps["pending"]:
                break
        if status >= 300 or state is None:
            return no_code.Told(error=f"{status} {said}")
        return no_code.Told(outcome(state, steps["pending"]), said["id"])

    def send(self, step, context, token):
        headers = {name: rendered(text, context, token) for name, text in step["headers"].items()}
        headers["Prefer"] = headers["Prefer"].replace("wait=20", "wait=1")
        body = rendered(step["body"], context, token).encode() if "body" in step else None
        for left in reversed(range(self.tries)):
            request = urllib.request.Request(rendered(step["url"], context, token), body, headers, method=step["method"])
            status, _, said = answer_of(request)
            if left == 0 or not (status in (408, 429) or status >= 500):
                return status, {"api_object": said}


def outcome(state, pending):
    """What the README says of each state."""
    if state in ("succeeded", "held", "failed", "timed_out"):
        return state
    return "pending" if state in pending else "not_done"


def rendered(text, context, token):
    def value(found):
        path = found[1].strip()
        if path == ".secrets.quarantine_bridge":
            return token
        assert path.startswith("$."), path
        value = context
        for name in path[2:].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    return re.sub(r"\{\{(.*?)\}\}", value, text)


def run(stage, checks):
    no_code.all_of(stage, Kit(), checks)
