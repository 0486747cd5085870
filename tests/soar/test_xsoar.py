"""The Cortex XSOAR integration, and its test playbook, run task by task."""

import re

import yaml

import kits
import scenarios
from scenarios import Result

PACK = kits.SOAR / "xsoar/Packs/QuarantineBridge"
INTEGRATION = PACK / "Integrations/QuarantineBridgeActions"
REQUEST = "quarantine-bridge-action-request"


class Ended(Exception):
    """return_error ends the script."""


class CommandResults:
    def __init__(self, outputs_prefix=None, outputs_key_field=None, outputs=None, readable_output=None, raw_response=None,
                 scheduled_command=None):
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})


class ScheduledCommand:
    def __init__(self, command, next_run_in_seconds, args=None, timeout_in_seconds=None, items_remaining=0):
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    @staticmethod
    def raise_error_if_not_supported():
        pass


class Xsoar:
    """XSOAR around the integration."""

    # Its results are no errors: a playbook branches on the outcome.
    goes_well = {"succeeded", "failed", "timed_out", "held", "not_done"}
    wait = 10

    def __init__(self, checks):
        self.checks = checks
        self.definition = yaml.safe_load((INTEGRATION / "QuarantineBridgeActions.yml").read_text())
        self.commands = {command["name"]: command for command in self.definition["script"]["commands"]}
        self.given = {}
        demisto = {name: (lambda name=name: self.given[name]) for name in ("params", "args", "command", "investigation")}
        self.client = kits.load(
            INTEGRATION / "QuarantineBridgeActions.py",
            demistomock=kits.module("demistomock", **demisto),
            CommonServerPython=kits.module(
                "CommonServerPython", CommandResults=CommandResults, ScheduledCommand=ScheduledCommand,
                return_results=self.returned, return_error=self.failed, handle_proxy=lambda: None,
                argToBoolean=lambda value: value if isinstance(value, bool) else {"true": True, "yes": True}.get(str(value).lower(), False),
                arg_to_number=lambda value: int(value) if value else None,
            ),
        )

    def returned(self, results):
        self.results = results

    def failed(self, message, error=None):
        raise Ended(message)

    def run(self, command, url, token, args, incident="INC-0"):
        """Runs a command as XSOAR does; raises Ended where it fails."""
        params = {"url": url, "credentials": {"password": token}, "insecure": False, "proxy": False}
        if command != "test-module":
            known = {argument["name"] for argument in self.commands[command]["arguments"]}
            self.checks.holds(f"{command} lists what it is given", set(args) <= known, args)
        self.given = {"params": params, "args": args, "command": command, "investigation": {"id": incident}}
        self.results = None
        self.client.main()
        return self.results

    def test(self, url, token):
        try:
            return Result(self.run("test-module", url, token, {}) == "ok", "ok")
        except Ended as error:
            return Result(False, str(error))

    def ask(self, url, token, case):
        args = {"machine": case.machine, "file_hash": case.file_hash, "severity": case.severity, "occurred_at": case.occurred_at}
        return self.told(lambda: self.until_done(REQUEST, url, token, args, case.incident))

    def until_done(self, command, url, token, args, incident):
        """Runs a command, and as often again as it asks XSOAR to, for as long as XSOAR does."""
        end = scenarios.time.monotonic() + self.patience
        results = self.run(command, url, token, args, incident)
        outputs = results.outputs
        while results.scheduled_command and scenarios.time.monotonic() < end:
            again = results.scheduled_command
            self.checks.holds("XSOAR takes no shorter interval", again.next_run_in_seconds >= 10)
            self.checks.holds("the wait has an end", again.timeout_in_seconds > 0)
            results = self.run(again.command, url, token, again.args, incident)
            outputs = results.outputs or outputs
        results.outputs = outputs
        return results

    def look(self, url, token, action_id):
        return self.told(lambda: self.run("quarantine-bridge-action-get", url, token, {"action_id": action_id}))

    def told(self, run):
        try:
            results = run()
        except Ended as error:
            return Result(False, str(error))
        outputs = results.outputs
        listed = {o["contextPath"].removeprefix("QuarantineBridge.Action.") for o in self.commands[self.given["command"]]["outputs"]}
        self.checks.holds("the YAML lists what is returned", set(outputs) - {"duplicate"} <= listed, outputs)
        self.checks.holds("what identifies it is there", results.outputs_key_field in outputs, outputs)
        return Result(True, results.readable_output, outputs["outcome"], outputs["id"])


def playbook(stage, xsoar, checks):
    """Runs the test playbook from its start to an end; returns the name of that."""
    tasks = yaml.safe_load((PACK / "TestPlaybooks/playbook-QuarantineBridgeActions-Test.yml").read_text())
    inputs = {entry["key"]: entry["value"]["simple"] for entry in tasks["inputs"]}
    context = {"inputs": inputs, "incident": {"id": "INC-playbook", "occurred": scenarios.now()}}

    def value(text):
        names = re.fullmatch(r"\$\{(.+)\}", text)
        found = context
        for name in names[1].split(".") if names else ():
            found = found[name]
        return found if names else text

    def ends_at(number, token):
        task = tasks["tasks"][number]
        label = "#none#"
        if task["task"]["iscommand"]:
            command = task["task"]["script"].split("|||")[1]
            args = {name: value(argument["simple"]) for name, argument in task["scriptarguments"].items()}
            results = xsoar.until_done(command, stage.url, token, args, "INC-playbook")
            context.setdefault("QuarantineBridge", {})["Action"] = results.outputs
        elif task["type"] == "condition":
            outcome = context["QuarantineBridge"]["Action"]["outcome"]
            label = next((row["label"] for row in task["conditions"]
                          if row["condition"][0][0]["right"]["value"]["simple"] == outcome), "#default#")
        following = task.get("nexttasks", {}).get(label)
        return ends_at(following[0], token) if following else task["task"]["name"]

    xsoar.patience = 15
    ends = ends_at("0", stage.approve_token), ends_at("0", stage.token)
    # The same incident: the second token is another caller, but the alert has its action already.
    checks.holds("the test playbook comes to its ends", ends == ("Waits for a person", "Waits for a person"), ends)
    context["incident"]["id"] = "INC-other"
    inputs["machine"] = stage.machine("Failed")
    checks.holds("and tells what went wrong", ends_at("0", stage.token) == "Not quarantined")
    inputs["machine"] = stage.machine()
    checks.holds("and what went well", ends_at("0", stage.token) == "Quarantined")


def severities(stage, xsoar, checks):
    """Incidents of XSOAR have numbers."""
    case = scenarios.Case(stage.machine(), severity="4")
    result = xsoar.ask(stage.url, stage.approve_token, case)
    checks.holds("a number is a severity", stage.action(result.action_id)["alert"]["severity"] == "critical", result)
    results = xsoar.run(REQUEST, stage.url, stage.token, {"machine": stage.machine("offline"), "file_hash": scenarios.SHA1,
                        "severity": "high", "occurred_at": scenarios.now(), "polling": "false"})
    checks.holds("without polling it does not come back", results.scheduled_command is None and results.outputs["outcome"] == "pending")


def run(stage, checks):
    xsoar = Xsoar(checks)
    scenarios.all_of(stage, xsoar, checks)
    stage.front.forget()
    playbook(stage, xsoar, checks)
    severities(stage, xsoar, checks)
