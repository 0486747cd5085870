"""The Splunk SOAR app, called as SOAR's BaseConnector calls it."""

import json

import kits
import scenarios
from scenarios import Result

APP = kits.SOAR / "splunk-soar/quarantinebridge"


class ActionResult:
    def __init__(self, param):
        self.param, self.data, self.summary, self.status, self.message = param, [], {}, None, ""

    def set_status(self, status, message=""):
        self.status, self.message = status, message or self.message
        return status

    def add_data(self, item):
        self.data.append(item)

    def update_summary(self, summary):
        self.summary.update(summary)


class BaseConnector:
    """What SOAR sets before it calls an action."""

    def set_up(self, config, action, container):
        self.config, self.action, self.container, self.results, self.message, self.progress = config, action, container, [], "", []

    def get_config(self):
        return self.config

    def get_action_identifier(self):
        return self.action

    def get_container_id(self):
        return self.container

    def get_product_installation_id(self):
        return "soar-of-the-checks"

    def add_action_result(self, result):
        self.results.append(result)
        return result

    def save_progress(self, text):
        self.progress.append(text)

    def set_status(self, status, message=""):
        self.message = message
        return status


class SplunkSoar:
    """SOAR around the app."""

    goes_well = {"succeeded", "held"}
    wait = 20

    def __init__(self, checks):
        self.checks = checks
        self.definition = json.loads((APP / "quarantinebridge.json").read_text())
        self.actions = {action["identifier"]: action for action in self.definition["actions"]}
        phantom = kits.module("phantom.app", APP_SUCCESS=True, APP_ERROR=False)
        main = self.definition["main_module"].removesuffix(".py")
        self.connector = kits.load_folder(
            APP, main,
            phantom=kits.module("phantom", app=phantom),
            phantom__app=phantom,
            phantom__action_result=kits.module("phantom.action_result", ActionResult=ActionResult),
            phantom__base_connector=kits.module("phantom.base_connector", BaseConnector=BaseConnector),
        )
        self.client = self.connector.client

    def run(self, identifier, url, token, param, container=1):
        definition = self.actions[identifier]
        self.checks.holds(f"{identifier} lists what it is given", set(param) <= set(definition["parameters"]), param)
        required = {name for name, stated in definition["parameters"].items() if stated.get("required")}
        self.checks.holds(f"{identifier} is given what it needs", required <= set(param), param)
        connector = self.connector.QuarantineBridgeConnector()
        config = {"bridge_url": url, "api_token": token, "verify_server_cert": True}
        self.checks.holds("the asset is configured as listed", set(config) == set(self.definition["configuration"]))
        connector.set_up(config, identifier, container)
        if not connector.initialize():
            return Result(False, connector.message)
        connector.handle_action(param)
        connector.finalize()
        (result,) = connector.results
        listed = {row["data_path"] for row in definition["output"]}
        shown = {f"action_result.data.*.{name}" for item in result.data for name in item}
        shown |= {f"action_result.summary.{name}" for name in result.summary}
        self.checks.holds(f"{identifier} lists what it returns", shown <= listed, shown - listed)
        self.checks.holds("the token is in no progress message", not (token and any(token in text for text in connector.progress)), connector.progress)
        return Result(result.status, result.message, result.summary.get("outcome"), result.summary.get("id"))

    def test(self, url, token):
        return self.run("test_connectivity", url, token, {})

    def ask(self, url, token, case):
        param = {"device": case.machine, "file_hash": case.file_hash, "severity": case.severity, "occurred_at": case.occurred_at,
                 "timeout": self.patience}
        return self.run("quarantine_file", url, token, param, case.incident)

    def look(self, url, token, action_id):
        return self.run("get_status", url, token, {"action_id": action_id})


def run(stage, checks):
    soar = SplunkSoar(checks)
    scenarios.all_of(stage, soar, checks)
    for identifier, action in soar.actions.items():
        paths = {row["data_path"] for row in action["output"]}
        parameters = {f"action_result.parameter.{name}" for name in action["parameters"]}
        checks.holds(f"{identifier}: each parameter is among the outputs", parameters <= paths, parameters - paths)
        orders = [row["column_order"] for row in action["output"] if "column_order" in row]
        checks.holds(f"{identifier}: columns have an order each", len(set(orders)) == len(orders), orders)
    for name in ("main_module", "logo", "logo_dark"):
        checks.holds(f"{name} is there", (APP / soar.definition[name]).exists())
