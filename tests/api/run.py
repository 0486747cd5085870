"""schemathesis against the running server: openapi.yaml says what may be sent, it sends that and everything else.

    python3 tests/api/run.py BINARY --schemathesis PATH [ARGUMENTS OF SCHEMATHESIS]

Fails on any answer that openapi.yaml does not have, on any 5xx, and on any error in the server's log. .ci/run has the short form;
`--max-examples 500 --scenarios 1000` is the long one.

A scenario is a sequence of calls, each made with what the answer to one before it named. schemathesis ends its scenarios without
a word when one that is played again is answered in another way, and a server that keeps what it is told does that at times. So
they are begun again, with another seed, until there were as many as were asked for.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
# The tree stays as it is.
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))

from rehearsal import SCOPES, Failed, Rehearsal, now, wait_until  # noqa: E402


class Caller:
    """One who asks with a token."""

    def __init__(self, bridge, token):
        self.bridge, self.token = bridge, token

    def ask(self, path, body=None):
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.bridge.url + path, data, headers), timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failed(f"{path}: {error.read().decode()}") from error


def seed(bridge, caller):
    """Makes actions in most states, with links for those that are held; returns what there is.

    Somebody else asks for them, so that the caller may decide about them.
    """
    asker = Caller(bridge, bridge.token("asker", ["actions:write"], source="playbooks"))
    links = Caller(bridge, bridge.token("links", ["links:create"]))
    bridge.token("alice", ["actions:approve"])
    actions = []
    for n in range(40):
        mode = ["enforce", "approve", "approve", "shadow"][n % 4]
        machine = {"dns_name": f"nowhere-{n}.corp.example"} if n % 8 == 4 else {"id": f"{n:02x}" * 20}
        asked = {"alert_id": f"seed-{n}", "severity": "high", "occurred_at": now(), "mode": mode, "machine": machine,
                 "file": {"sha1": "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4"}}
        actions.append(asker.ask("/v1/actions", asked)["id"])
    read = lambda identity: caller.ask(f"/v1/actions/{identity}")
    is_at_rest = lambda action: action["final"] or action["state"] == "held"
    wait_until(lambda: all(is_at_rest(read(identity)) for identity in actions), "all is at rest", seconds=240)
    shown = [read(identity) for identity in actions]
    held = [action["id"] for action in shown if action["holds"] and all(hold["approvers"] for hold in action["holds"])]
    if not held:
        raise Failed(f"nothing waits for an approval: {shown[1]}")
    made = [links.ask(f"/v1/actions/{identity}/links", {"approver": "alice"}) for identity in held]
    alert = {"alert_id": "seed-delivered", "severity": "high", "occurred_at": now(),
             "targets": [{"machine": {"id": "2c" * 20}, "file": {"sha1": "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4"}}]}
    delivered = bridge.deliver("soc", json.dumps(alert).encode())["delivery_id"]
    done = [action for action in shown if action["state"] == "succeeded"]
    for action in done[:3]:
        caller.ask(f"/v1/actions/{action['id']}/undo", {"reason": "a seed"})
    return {
        "actions": actions,
        "deliveries": [delivered, *(action["delivery_id"] for action in shown[:2])],
        "targets": [action["target"] for action in done],
        "event": "{entries}-{hash:.8}".format(**caller.ask("/v1/audit?limit=1")["head"]),
        "messages": [message["id"] for message in caller.ask("/v1/callbacks/soar/messages")["messages"]],
        "links": {link: once(f"{bridge.url}/approve/{link}") for link in (it["url"].rpartition("/")[2] for it in made)},
    }


def once(url):
    """What the form of a link's page sends with the word, so that it is taken once."""
    with urllib.request.urlopen(url, timeout=10) as page:
        return re.search(r'name="once" value="([^"]+)"', page.read().decode())[1]


def told(command, environment, folder):
    """Runs schemathesis and shows what it says; returns whether all was good, and how many scenarios it made."""
    run = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
    scenarios = 0
    for line in run.stdout:
        print(line, end="", flush=True)
        if made := re.match(r"\s+Scenarios:\s+(\d+)$", line):
            scenarios = int(made[1])
    return run.wait() == 0, scenarios


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--schemathesis", type=pathlib.Path, required=True)
    parser.add_argument("--scenarios", type=int, default=0, help="how many scenarios there must be at the least")
    parser.add_argument("--seed", type=int, default=1)
    arguments, rest = parser.parse_known_args()
    with Rehearsal(arguments.binary) as bridge:
        token = bridge.token("schemathesis", [*SCOPES, "actions:write"], source="playbooks")
        spare = bridge.token("spare", ["metrics"])
        given = {"token_id": token.split("_")[1], "spare_id": spare.split("_")[1], **bridge.secrets,
                 **seed(bridge, Caller(bridge, token))}
        environment = {**os.environ, "QUARANTINE_BRIDGE_REHEARSAL": json.dumps(given), "TOKEN": token, "PYTHONDONTWRITEBYTECODE": "1",
                       "PYTHONPATH": f"{HERE}:{HERE.parent}"}
        command = [arguments.schemathesis.resolve(), "--config-file", HERE / "schemathesis.toml", "run",
                   HERE.parent.parent / "openapi.yaml", "--url", bridge.url, *rest]
        run = lambda *more: told([*command, *more], environment, bridge.folder)
        is_good, scenarios = run("--seed", str(arguments.seed))
        number = arguments.seed
        while is_good and scenarios < arguments.scenarios:
            number += 1
            # The last of two of an option counts.
            is_good, further = run("--seed", str(number), "--phases", "stateful", "--max-examples", str(arguments.scenarios))
            if further == 0:
                raise Failed("schemathesis made no scenario")
            scenarios += further
        print(scenarios, "scenarios")
        # What is no HTTP at all is actix's to tell.
        is_ours = lambda line: '"level":"ERROR"' in line and "actix_http" not in line
        errors = [line for line in bridge.log().splitlines() if is_ours(line)]
    print(*errors, sep="\n")
    if errors or not is_good:
        sys.exit("errors in the server's log" if is_good else "the server does not keep to openapi.yaml")


main()
