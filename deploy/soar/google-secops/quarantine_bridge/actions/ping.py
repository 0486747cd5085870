"""Makes sure of address and token. Asks for no action: a test must not quarantine a file."""

from __future__ import annotations

from soar_sdk.ScriptResult import EXECUTION_STATE_COMPLETED, EXECUTION_STATE_FAILED
from soar_sdk.SiemplifyAction import SiemplifyAction
from soar_sdk.SiemplifyUtils import output_handler

from ..core.quarantine_bridge_action import ERRORS, INTEGRATION, bridge_of

SUCCESS = "Successfully connected to the quarantine-bridge server with the provided connection parameters!"
FAILURE = "Failed to connect to the quarantine-bridge server! Error is"


@output_handler
def main() -> None:
    """Runs the action."""
    siemplify = SiemplifyAction()
    siemplify.script_name = f"{INTEGRATION} - Ping"
    try:
        bridge_of(siemplify).check()
    except ERRORS as error:
        siemplify.LOGGER.error(str(error))
        siemplify.end(f"{FAILURE} {error}", False, EXECUTION_STATE_FAILED)
    siemplify.end(SUCCESS, True, EXECUTION_STATE_COMPLETED)


if __name__ == "__main__":
    main()
