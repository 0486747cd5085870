"""The CACAO playbook, run step by step as the specification says, with SOARCA's variables and comparisons."""

import json
import re
import urllib.request

import kits
from scenarios import Case
from stage import BAD_GATEWAY, LOG_IN_PAGE, OVER_QUOTA, PROTECTED, STILL_RUNNING, answer_of, time

PLAYBOOK = kits.SOAR / "cacao/quarantine-file.cacao.json"
RESULT = "__soarca_http_api_result__"
IDENTIFIER = r"[a-z][a-z0-9-]+[a-z0-9]--[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Executor:
    """As much of an executor as the playbook uses: interpolation, http-api with oauth2, comparisons of three parts."""

    def __init__(self, url):
        self.url = url
        self.playbook = json.loads(PLAYBOOK.read_text())

    def run(self, token, case, mode="enforce"):
        """Runs the playbook; returns the name of its end, and what was answered last."""
        variables = {name: stated.get("value", "") for name, stated in self.playbook["playbook_variables"].items()}
        variables |= {
            "__alert_id__": case.incident, "__severity__": case.severity, "__occurred_at__": case.occurred_at,
            "__machine_id__": case.machine, "__sha1__": case.file_hash, "__mode__": mode, "__bridge_token__": token,
        }
        self.variables, self.log = variables, []
        at = self.playbook["workflow_start"]
        while (step := self.playbook["workflow"][at])["type"] != "end":
            if step["type"] == "if-condition":
                at = step["on_true" if self.holds(step["condition"]) else "on_false"]
            elif step["type"] == "action":
                at = step["on_success" if self.acts(step) else "on_failure"]
            else:
                at = step["on_completion"]
        return step["name"], variables[RESULT]

    def filled(self, text):
        for name, value in self.variables.items():
            text = text.replace(name + ":value", value)
        return text

    def holds(self, condition):
        left, operator, right = condition.split(" ")
        assert operator == "IN", "SOARCA compares text by few operators"
        return right in self.filled(left)

    def acts(self, step):
        (command,), (target,) = step["commands"], step["targets"]
        target = self.playbook["target_definitions"][target]
        auth = self.playbook["authentication_info_definitions"][target["authentication_info"]]
        assert auth["type"] == "oauth2" and self.playbook["agent_definitions"][step["agent"]]["name"] == "soarca-http-api"
        method, path, _ = command["command"].split(" ")
        headers = {name: self.filled(value) for name, values in command["headers"].items() for value in values}
        headers["Authorization"] = "Bearer " + self.filled(auth["token"])
        content = self.filled(command["content"]).encode()
        try:
            status, _, said = answer_of(urllib.request.Request(self.url + path, content, headers, method=method), step["timeout"] / 1000)
        except OSError as error:
            self.log.append(str(error))
            return False
        if not 200 <= status <= 299:
            self.log.append(f"{status} {said}")
            return False
        # The answer's text: compact, as the bridge writes it.
        self.variables[RESULT] = said if isinstance(said, str) else json.dumps(said, separators=(",", ":"))
        return True


def form(checks, playbook):
    """What the specification asks for beyond the schemas: what is named is there, and what is there is reached."""
    steps = playbook["workflow"]
    names = [playbook["id"], playbook["created_by"], *steps, *playbook["agent_definitions"], *playbook["target_definitions"]]
    checks.holds("identifiers are of their form", all(re.fullmatch(IDENTIFIER, name) for name in names))
    checks.holds("a step's id begins with its type", all(name.split("--")[0] == step["type"] for name, step in steps.items()))
    links = ("on_completion", "on_success", "on_failure", "on_true", "on_false")
    reached, left = set(), {playbook["workflow_start"], playbook["workflow_exception"]}
    while left:
        name = left.pop()
        reached.add(name)
        left |= {steps[name][link] for link in links if link in steps[name]} - reached
    checks.holds("every step is reached", reached == set(steps), set(steps) - reached)
    used = set(re.findall(r"(__[a-z0-9_]+?__):value", PLAYBOOK.read_text()))
    checks.holds("every variable is declared and used", used == set(playbook["playbook_variables"]), used)
    activities = {command.get("playbook_activity") for step in steps.values() for command in step.get("commands", [])}
    checks.holds("each activity is in the workflow", set(playbook["playbook_activities"]) == activities)
    readme = (PLAYBOOK.parent / "README.md").read_text()
    example = json.loads(re.search(r"```json\n(.*?)```", readme, re.S)[1])
    external = {name: row["type"] for name, row in playbook["playbook_variables"].items() if row.get("external")}
    checks.holds("the README's variables are those to give", {name: row["type"] for name, row in example.items()} == external)
    asks = [step for step in steps.values() if step["type"] == "action"]
    checks.holds("all steps ask the same", len({json.dumps(step["commands"]) for step in asks}) == 1)


def run(stage, checks):
    executor, front = Executor(stage.url), stage.front
    form(checks, executor.playbook)
    for wanted, token, end, change, state in (
        ("Quarantined", stage.token, "Succeeded", {}, "succeeded"),
        ("Waits for a person", stage.approve_token, "Succeeded", {}, "held"),
        ("Not quarantined", stage.token, "Failed", {}, "failed"),
        ("Not quarantined", stage.token, "TimeOut", {}, "timed_out"),
        ("Not quarantined", stage.token, "Succeeded", {"file_hash": PROTECTED}, "denied"),
    ):
        case = Case(stage.machine(end), **change)
        ended, answer = executor.run(token, case)
        checks.holds(f"{state} ends in {wanted}", ended == wanted and json.loads(answer)["state"] == state, ended, answer)
        checks.holds(f"{state}: one request, one action", len(front.posts()) == 1, front.seen)
        front.forget()
    ended, _ = executor.run(stage.token, Case(stage.machine()), mode="approve")
    checks.holds("its own mode holds it", ended == "Waits for a person", ended)
    front.forget()

    # Waiting is made short by the proxy, which takes the preference out.
    front.without = ["prefer"]
    case = Case(stage.machine("offline"))
    ended, _ = executor.run(stage.token, case)
    keys = {headers["Idempotency-Key"] for headers, _ in front.posts()}
    checks.holds("an offline device is not over", ended == "Not over" and len(front.posts()) == 3, ended)
    checks.holds("and was asked for under one key", len(keys) == 1, keys)
    for _ in range(100):
        if stage.calls(case.machine):
            break
        time.sleep(0.1)
    checks.holds("and is one action", stage.calls(case.machine) == 1)
    front.without = []

    for name, plays in (("passing troubles", [BAD_GATEWAY, OVER_QUOTA]), ("still running", [STILL_RUNNING]), ("a hang-up", [0])):
        front.forget()
        front.plays = list(plays)
        ended, _ = executor.run(stage.approve_token, Case(stage.machine()))
        checks.holds(f"{name} pass", ended == "Waits for a person" and len(front.posts()) == len(plays) + 1, ended)
    for name, token, always in (("a refused token", "qb_wrong", None), ("lasting trouble", stage.token, BAD_GATEWAY)):
        front.forget()
        front.always = always
        ended, _ = executor.run(token, Case(stage.machine()))
        checks.holds(f"{name} ends in Failed", ended == "Failed" and len(front.posts()) == 3, ended, executor.log)
    front.forget()
    front.always = LOG_IN_PAGE
    ended, _ = executor.run(stage.token, Case(stage.machine()))
    checks.holds("a page instead of the bridge is no success", ended == "Not over", ended)
    front.forget()
    case = Case(stage.machine())
    executor.run(stage.approve_token, case)
    case.severity = "low"
    ended, _ = executor.run(stage.approve_token, case)
    checks.holds("another severity is refused", ended == "Failed" and "422" in executor.log[0], executor.log)
    case = Case(stage.machine(), incident='x", "mode": "enforce')
    ended, _ = executor.run(stage.approve_token, case, mode="approve")
    checks.holds("a value that writes JSON is refused", ended == "Failed" and "400" in executor.log[0], executor.log)
