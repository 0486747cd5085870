"""Google SecOps action: sends one file on one device to quarantine-bridge, signed.

The manager quarantine_bridge_signer is a file of its own in the same custom integration.
"""

import json

import quarantine_bridge_signer as signer
from ScriptResult import EXECUTION_STATE_COMPLETED, EXECUTION_STATE_FAILED
from SiemplifyAction import SiemplifyAction
from SiemplifyUtils import output_handler

INTEGRATION = "QuarantineBridge"


def send(siemplify):
    """Sends the alert that the action's parameters describe; returns what the bridge answered."""
    url = siemplify.extract_configuration_param(INTEGRATION, "Source URL")
    secret = siemplify.extract_configuration_param(INTEGRATION, "Signing Secret")

    def parameter(name):
        return (siemplify.extract_action_param(name) or "").strip()

    alert_id = parameter("Alert ID")
    alert = signer.bridge_alert(
        alert_id,
        parameter("Severity").lower(),
        parameter("Title") or "Google SecOps alert " + alert_id,
        parameter("Occurred At"),
        signer.machine_entity(parameter("Machine")),
        signer.file_entity(parameter("File Hash"), parameter("File Name")),
    )
    _status, text = signer.deliver(url or "", secret or "", signer.to_body(alert))
    return json.loads(text)


@output_handler
def main():
    siemplify = SiemplifyAction()
    siemplify.script_name = INTEGRATION + " - Send To Bridge"
    try:
        answer = send(siemplify)
        siemplify.result.add_result_json(json.dumps(answer))
        message = "The bridge has it: action %s" % answer["alerts"][0]["actions"][0]["id"]
        siemplify.end(message, True, EXECUTION_STATE_COMPLETED)
    except (signer.SecretError, signer.Refused, signer.Unreachable, ValueError) as error:
        siemplify.LOGGER.error(str(error))
        siemplify.end("quarantine-bridge: %s" % error, False, EXECUTION_STATE_FAILED)


if __name__ == "__main__":
    main()
