"""What the actions of the integration have in common."""

from __future__ import annotations

from . import quarantine_bridge_client as client

INTEGRATION = "QuarantineBridge"
# What a step tells its playbook instead of going on; what is entered wrong is a ValueError.
ERRORS = (ValueError, client.Refused, client.Away)


def bridge_of(siemplify) -> client.Bridge:
    """Returns the bridge of this instance of the integration."""

    def configured(name, **how):
        return siemplify.extract_configuration_param(INTEGRATION, name, **how)

    verify = configured("Verify SSL", input_type=bool, default_value=True)
    return client.Bridge(configured("API Root"), configured("API Token"), verify=verify)


def text_of(siemplify, name: str) -> str:
    """Returns a parameter of the action without the blanks around it."""
    return str(siemplify.extract_action_param(name) or "").strip()


def told(standing: client.Standing) -> str:
    """Returns how an action stands, for a person."""
    return f"{standing.outcome}: {standing.sentence} Action {standing.action_id} of quarantine-bridge."
