"""The integration of Google SecOps, run as its server runs actions: again and again while one is in progress."""

import importlib
import json
import pathlib
import sys
import tomllib
import types

import yaml

import kits
import scenarios
from scenarios import Result

FOLDER = kits.SOAR / "google-secops/quarantine_bridge"
COMPLETED, IN_PROGRESS, FAILED = 0, 1, 2


class Ended(Exception):
    """SiemplifyAction.end ends the script."""


class SecOps:
    """SecOps around the integration."""

    # Its steps do not fail by an outcome: a playbook branches on the result.
    goes_well = {"succeeded", "failed", "timed_out", "held", "not_done"}
    wait = 20

    def __init__(self, checks):
        self.checks = checks
        self.definition = yaml.safe_load((FOLDER / "definition.yaml").read_text())
        self.actions = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "actions").glob("*.yaml"))}
        secops = self

        class SiemplifyAction:
            def __init__(self):
                self.LOGGER = types.SimpleNamespace(error=secops.log.append, info=secops.log.append)
                self.result = types.SimpleNamespace(add_result_json=lambda text: secops.json.append(json.loads(text)))
                self.case_id = secops.case_id
                self.current_alert = types.SimpleNamespace(identifier=secops.alert)
                self.async_total_duration_deadline = None

            def extract_configuration_param(self, provider_name, param_name, default_value=None, input_type=str):
                assert provider_name == secops.definition["identifier"], provider_name
                return secops.configuration.get(param_name, default_value)

            def extract_action_param(self, param_name, default_value=None, input_type=str):
                return secops.parameters.get(param_name, default_value)

            def end(self, message, result_value, execution_state=COMPLETED):
                secops.ended = message, result_value, execution_state
                raise Ended

        stand_ins = {
            "soar_sdk": kits.module("soar_sdk"),
            "soar_sdk__SiemplifyAction": kits.module("soar_sdk.SiemplifyAction", SiemplifyAction=SiemplifyAction),
            "soar_sdk__SiemplifyUtils": kits.module("soar_sdk.SiemplifyUtils", output_handler=lambda function: function),
            "soar_sdk__ScriptResult": kits.module(
                "soar_sdk.ScriptResult", EXECUTION_STATE_COMPLETED=COMPLETED, EXECUTION_STATE_INPROGRESS=IN_PROGRESS,
                EXECUTION_STATE_FAILED=FAILED,
            ),
        }
        sys.modules.update({name.replace("__", "."): module for name, module in stand_ins.items()})
        sys.path.insert(0, str(FOLDER.parent))
        self.scripts = {name: importlib.import_module(f"quarantine_bridge.actions.{name}") for name in self.actions}
        self.client = importlib.import_module("quarantine_bridge.core.quarantine_bridge_client")
        self.log, self.json = [], []
        self.case_id, self.alert = 7, "alert"

    def run(self, name, url, token, parameters, first=True):
        """Runs an action once; returns message, result and state."""
        configuration = {"API Root": url, "API Token": token, "Verify SSL": True}
        self.checks.holds("the integration is configured as listed", set(configuration) == {p["name"] for p in self.definition["parameters"]})
        stated = {parameter["name"]: parameter for parameter in self.actions[name]["parameters"]}
        given = set(parameters) - {"additional_data"}
        self.checks.holds(f"{name} lists what it is given", given <= set(stated), given)
        required = {parameter for parameter, row in stated.items() if row["is_mandatory"]}
        self.checks.holds(f"{name} is given what it needs", required <= given, given)
        self.configuration, self.parameters, self.ended = configuration, parameters, None
        self.log.clear()
        self.json.clear()
        try:
            self.scripts[name].main(*([first] if self.actions[name].get("is_async") else []))
        except Ended:
            pass
        self.checks.holds("the token is in no log", not (token and any(token in str(line) for line in self.log)), self.log)
        return self.ended

    def told(self, ended):
        message, result, state = ended
        facts = self.json[-1] if self.json else {}
        if facts:
            example = json.loads((FOLDER / "resources/quarantine_file_JsonResult_example.json").read_text())
            self.checks.holds("the example shows what is returned", set(example) == set(facts), facts)
        return Result(state == COMPLETED, message, result if state == COMPLETED else None, facts.get("id"))

    def test(self, url, token):
        message, result, state = self.run("ping", url, token, {})
        self.checks.holds("Ping ends in the words that the marketplace asks for", message.startswith(
            "Successfully connected to the" if result else "Failed to connect to the"), message)
        return Result(result and state == COMPLETED, message)

    def ask(self, url, token, case):
        self.alert = case.incident
        parameters = {"Machine": case.machine, "File Hash": case.file_hash, "Severity": case.severity, "Occurred At": case.occurred_at,
                      "Mode": "enforce", "Wait Minutes": str(self.patience / 60)}
        ended = self.run("quarantine_file", url, token, parameters)
        shown = list(self.json)
        runs = 1
        while ended[2] == IN_PROGRESS:
            runs += 1
            self.checks.holds("it comes to an end", runs < 100)
            assert runs < 100, ended
            again = {**parameters, "additional_data": ended[1]}
            ended = self.run("quarantine_file", url, token, again, first=False)
            shown += self.json
        self.json[:] = shown
        return self.told(ended)

    def look(self, url, token, action_id):
        return self.told(self.run("get_status", url, token, {"Action ID": action_id}))


def form(checks, secops):
    """What the marketplace's own validation looks at, as far as it needs nothing else."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    notes = yaml.safe_load((FOLDER / "release_notes.yaml").read_text())
    checks.holds("name and version are the same everywhere", project["name"] == secops.definition["identifier"]
                 and float(project["version"]) == notes[-1]["version"])
    for name, action in secops.actions.items():
        checks.holds(f"{name} is of this integration", action["integration_identifier"] == secops.definition["identifier"])
        for shown in action["dynamic_results_metadata"]:
            checks.holds(f"{name} has its example", pathlib.Path(FOLDER, shown["result_example_path"]).exists())
    for path in ("image_path", "svg_logo_path"):
        checks.holds(f"{path} is there", pathlib.Path(FOLDER, secops.definition[path]).exists())


def late(stage, checks, secops):
    """Near SecOps' own deadline it ends as pending, with the id, instead of being cut off."""
    module = secops.scripts["quarantine_file"]
    ended = []
    siemplify = types.SimpleNamespace(
        async_total_duration_deadline=(scenarios.time.time() + 30) * 1000,
        result=types.SimpleNamespace(add_result_json=lambda _: None),
        end=lambda *what: ended.append(what),
    )
    standing = secops.client.Standing(202, {"id": "i", "state": "submitted"}, None)
    module.end(siemplify, standing, {"action_id": "i", "until": scenarios.time.time() + 900})
    checks.holds("near the deadline it ends", ended == [("pending: It is on its way (submitted). Action i of quarantine-bridge.", "pending", COMPLETED)], ended)


def run(stage, checks):
    secops = SecOps(checks)
    form(checks, secops)
    scenarios.all_of(stage, secops, checks)
    late(stage, checks, secops)
