"""Tells how an action of the bridge stands now."""

from __future__ import annotations

import json

from soar_sdk.ScriptResult import EXECUTION_STATE_COMPLETED, EXECUTION_STATE_FAILED
from soar_sdk.SiemplifyAction import SiemplifyAction
from soar_sdk.SiemplifyUtils import output_handler

from ..core.quarantine_bridge_action import ERRORS, INTEGRATION, bridge_of, text_of, told


@output_handler
def main() -> None:
    """Runs the action."""
    siemplify = SiemplifyAction()
    siemplify.script_name = f"{INTEGRATION} - Get Status"
    try:
        standing = bridge_of(siemplify).look(text_of(siemplify, "Action ID"))
    except ERRORS as error:
        siemplify.LOGGER.error(str(error))
        siemplify.end(f"quarantine-bridge: {error}", "error", EXECUTION_STATE_FAILED)
    siemplify.result.add_result_json(json.dumps(standing.facts()))
    siemplify.end(told(standing), standing.outcome, EXECUTION_STATE_COMPLETED)


if __name__ == "__main__":
    main()
