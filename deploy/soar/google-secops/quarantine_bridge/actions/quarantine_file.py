"""Asks for one file on one device to be stopped and quarantined, and comes back until that is over or waits for a person."""

from __future__ import annotations

import json
import sys
import time

from soar_sdk.ScriptResult import EXECUTION_STATE_COMPLETED, EXECUTION_STATE_FAILED, EXECUTION_STATE_INPROGRESS
from soar_sdk.SiemplifyAction import SiemplifyAction
from soar_sdk.SiemplifyUtils import output_handler

from ..core import quarantine_bridge_client as client
from ..core.quarantine_bridge_action import ERRORS, INTEGRATION, bridge_of, text_of, told

# How long each run lets the bridge wait with its answer, in seconds: a run of an action has a time limit.
WAIT = 20
# How long before its deadline an action that is still waiting ends, in seconds.
BEFORE_DEADLINE = 60


@output_handler
def main(is_first_run: bool) -> None:
    """Runs the action once; SecOps runs it again while it is in progress."""
    siemplify = SiemplifyAction()
    siemplify.script_name = f"{INTEGRATION} - Quarantine File"
    try:
        known = {} if is_first_run else json.loads(siemplify.extract_action_param("additional_data", default_value="{}"))
        end(siemplify, *(look(siemplify, known) if known else ask(siemplify)))
    except ERRORS as error:
        siemplify.LOGGER.error(str(error))
        siemplify.end(f"quarantine-bridge: {error}", "error", EXECUTION_STATE_FAILED)


def ask(siemplify):
    """Asks for the action that the parameters describe; returns how it stands, and what the next run must know."""
    minutes = float(text_of(siemplify, "Wait Minutes") or 15)
    alert = str(siemplify.current_alert.identifier)
    alert_id = text_of(siemplify, "Alert ID") or alert
    wanted = client.wanted_action(
        alert_id,
        text_of(siemplify, "Severity"),
        text_of(siemplify, "Occurred At"),
        text_of(siemplify, "Machine"),
        client.file_entity(text_of(siemplify, "File Hash"), text_of(siemplify, "File Name")),
        title=text_of(siemplify, "Title") or f"Google SecOps alert {alert_id}",
        mode=text_of(siemplify, "Mode"),
        note=text_of(siemplify, "Note") or f"Google SecOps case {siemplify.case_id}",
    )
    # Case and alert, and what it is about: a step that runs again asks for the same.
    key = client.idempotency_key("secops", siemplify.case_id, alert, alert_id, wanted["machine"], wanted["file"])
    until = time.time() + minutes * 60
    standing = bridge_of(siemplify).ask(wanted, key, WAIT)
    return standing, {"action_id": standing.action_id, "until": until}


def look(siemplify, known):
    """Returns how the action stands, or None if that cannot be learned now, and what the next run must know."""
    try:
        return bridge_of(siemplify).look(known["action_id"], WAIT), known
    except client.Away as error:
        # The bridge has the action, so a while without answers is no reason to give it up.
        siemplify.LOGGER.error(str(error))
        return None, known


def end(siemplify, standing, known) -> None:
    """Ends this run: for good, or to be run again."""
    is_pending = standing is None or standing.is_pending
    if standing is not None:
        siemplify.result.add_result_json(json.dumps(standing.facts()))
    deadline = siemplify.async_total_duration_deadline
    is_late = time.time() >= known["until"] or (deadline and time.time() + BEFORE_DEADLINE >= deadline / 1000)
    message = told(standing) if standing else f"How action {known['action_id']} of quarantine-bridge stands is not known now."
    if is_pending and not is_late:
        siemplify.end(message, json.dumps(known), EXECUTION_STATE_INPROGRESS)
    siemplify.end(message, "pending" if standing is None else standing.outcome, EXECUTION_STATE_COMPLETED)


if __name__ == "__main__":
    main(len(sys.argv) < 3 or sys.argv[2] == "True")
