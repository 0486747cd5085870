"""The Shuffle kit: values written into its text as Shuffle does, after the README's conditions."""

import json
import re
import subprocess
import sys

import kits
import no_code

FOLDER = kits.SOAR / "shuffle"


def conditions():
    """Returns the regular expression of each value, as the README lists them."""
    return dict(re.findall(r"\| `\$exec\.(\w+)` \| `(\S+)` \|", (FOLDER / "README.md").read_text()))


class Kit:
    tries = 4

    def ask(self, url, token, case):
        values = {"alert_id": case.incident, "severity": case.severity, "occurred_at": case.occurred_at, "machine": case.machine,
                  "file_hash": case.file_hash}
        for name, regex in conditions().items():
            if not re.fullmatch(regex, values[name]):
                return no_code.Told(error=f"400: the condition on {name} does not pass")
        text = (FOLDER / "ask_bridge.py").read_text()
        for name, value in {**{f"$exec.{name}": value for name, value in values.items()}, "$bridge_url": url, "$bridge_token": token}.items():
            assert name in text, name
            text = text.replace(name, value)
        # What waits for its users does not wait here.
        for usual, shorter in (("PATIENCE = 200", "PATIENCE = 12"), ("DELAYS = (1, 2, 4)", "DELAYS = (0, 0, 0)"), ("WAIT_MAX = 30", "WAIT_MAX = 1")):
            assert usual in text, usual
            text = text.replace(usual, shorter)
        run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
        told = json.loads(run.stdout)
        return no_code.Told(told.get("outcome"), told.get("id"), told.get("reason"))


def run(stage, checks):
    given = set(re.findall(r"\$exec\.(\w+)", (FOLDER / "ask_bridge.py").read_text()))
    checks.holds("each value has its condition", given == set(conditions()), given)
    hostile = '"""+open("/etc/passwd").read()+r"""'
    passing = [name for name, regex in conditions().items() if re.fullmatch(regex, hostile)]
    checks.holds("no condition lets Python through", not passing, passing)
    no_code.all_of(stage, Kit(), checks)
