"""Splunk SOAR app: asks quarantine-bridge to have Defender stop and quarantine one file on one device."""

import phantom.app as phantom
from phantom.action_result import ActionResult
from phantom.base_connector import BaseConnector

import quarantine_bridge_client as client

# Seconds that the first answer may wait for the outcome.
WAIT = 20
# What is no failure of the step: that a person must decide, or that a device has not answered yet.
GOES_WELL = ("succeeded", "held", "pending")


class QuarantineBridgeConnector(BaseConnector):
    """The three actions of the app."""

    def initialize(self):
        """Called once before the action, with the asset's configuration."""
        config = self.get_config()
        try:
            self._bridge = client.Bridge(config.get("bridge_url"), config.get("api_token"), verify=config.get("verify_server_cert", True))
        except client.Misconfigured as error:
            return self.set_status(phantom.APP_ERROR, f"quarantine-bridge: {error}")
        return phantom.APP_SUCCESS

    def handle_action(self, param):
        """Called for each set of parameters."""
        actions = {
            "test_connectivity": self._test_connectivity,
            "quarantine_file": self._quarantine_file,
            "get_status": self._get_status,
        }
        result = self.add_action_result(ActionResult(dict(param)))
        action = actions.get(self.get_action_identifier())
        if action is None:
            return result.set_status(phantom.APP_ERROR, "there is no such action here")
        try:
            return action(result, param)
        except (client.Misconfigured, client.Refused, client.Away) as error:
            self.save_progress(f"quarantine-bridge: {error}")
            return result.set_status(phantom.APP_ERROR, f"quarantine-bridge: {error}")

    def finalize(self):
        """Called once after the action."""
        return phantom.APP_SUCCESS

    def _test_connectivity(self, result, _param):
        self._bridge.check()
        self.save_progress("The bridge is there and takes the token. No action was asked for.")
        return result.set_status(phantom.APP_SUCCESS)

    def _quarantine_file(self, result, param):
        container = str(self.get_container_id())
        alert_id = param.get("alert_id") or container
        wanted = client.wanted_action(
            alert_id,
            param.get("severity"),
            param.get("occurred_at"),
            param.get("device"),
            client.file_entity(param.get("file_hash"), param.get("file_name")),
            title=param.get("title") or f"Splunk SOAR container {container}",
            url=param.get("url"),
            mode=param.get("mode"),
            note=param.get("note") or f"Splunk SOAR container {container}",
        )
        # The container, and what it is about: a block that runs again asks for the same.
        installation = self.get_product_installation_id()
        key = client.idempotency_key("splunk-soar", installation, container, alert_id, wanted["machine"], wanted["file"])
        standing = self._bridge.ask(wanted, key, WAIT)
        self.save_progress(f"Action {standing.action_id} of quarantine-bridge. {standing.sentence}")
        standing = self._bridge.follow(standing, float(param.get("timeout") or 300))
        self._show(result, standing)
        status = phantom.APP_SUCCESS if standing.outcome in GOES_WELL else phantom.APP_ERROR
        return result.set_status(status, f"{standing.outcome}: {standing.sentence}")

    def _get_status(self, result, param):
        standing = self._bridge.look(param.get("action_id"))
        self._show(result, standing)
        return result.set_status(phantom.APP_SUCCESS, f"{standing.outcome}: {standing.sentence}")

    def _show(self, result, standing):
        facts = standing.facts()
        result.add_data(facts)
        result.update_summary({name: facts[name] for name in ("outcome", "state", "id")})
