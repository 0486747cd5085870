"""The quickstart by a generated Python client: ask, wait, read, list, approve, cancel. Run by generated.py."""

import os
from datetime import datetime, timezone

from bridge_client import AuthenticatedClient
from bridge_client.api.actions import approve_action, cancel_action, get_action, get_action_status, list_actions, request_action
from bridge_client.models import (Approval, CancelRequest, RequestedAction, RequestedActionFile, RequestedActionMachine,
                                  RequestedActionModeType1 as Mode, Severity, State)

URL, ASKER, PERSON = (os.environ[name] for name in ("BRIDGE_URL", "ASKER_TOKEN", "PERSON_TOKEN"))


def wanted(alert_id, mode):
    machine = RequestedActionMachine(id="6f1d0b7c2a94e8d35b60c1f7a8e2934d5c7b1a09")
    file = RequestedActionFile(sha1=f"{sum(alert_id.encode()):04x}f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4")
    return RequestedAction(alert_id=alert_id, severity=Severity.HIGH, machine=machine, file=file, mode=mode,
                           occurred_at=datetime.now(timezone.utc), note="by a generated client")


def main():
    asker, person = (AuthenticatedClient(base_url=URL, token=token, raise_on_unexpected_status=True) for token in (ASKER, PERSON))

    # Ask and wait; under the same key the same answer comes again, and nothing is done twice.
    body = wanted("python-1", Mode.ENFORCE)
    asked = [request_action.sync_detailed(client=asker, body=body, prefer="wait=30", idempotency_key='"python-1"') for _ in "12"]
    assert [answer.status_code for answer in asked] == [200, 200], asked
    receipt = asked[0].parsed
    assert receipt.state == State.SUCCEEDED and receipt.action.final and receipt.id == asked[1].parsed.id, receipt

    # Read it, and find it in the list.
    assert get_action_status.sync(receipt.id, client=asker).state == State.SUCCEEDED
    action = get_action.sync(receipt.id, client=person)
    assert action.machine_action.status == "Succeeded" and action.requested.note == "by a generated client", action
    page = list_actions.sync(client=person, alert_id="python-1")
    assert [found.id for found in page.actions] == [receipt.id] and page.next_cursor is None, page

    # One that waits for a person, who approves it.
    held = request_action.sync(client=asker, body=wanted("python-2", Mode.APPROVE), prefer="wait=30")
    assert held.state == State.HELD and not held.action.final, held
    holds = [hold.guard for hold in held.action.holds]
    approved = approve_action.sync_detailed(held.id, client=person, body=Approval(holds=holds, reason="looked at"))
    assert approved.status_code == 200, approved
    done = get_action.sync(held.id, client=person, prefer="wait=30")
    assert done.state == State.SUCCEEDED and [word.by for word in done.approvals] == ["token:person"], done

    # And one that nobody wants any more.
    held = request_action.sync(client=asker, body=wanted("python-3", Mode.APPROVE), prefer="wait=30")
    cancelled = cancel_action.sync(held.id, client=person, body=CancelRequest(reason="a false alarm"))
    assert cancelled.state == State.CANCELLED and cancelled.cancellation.by == "token:person", cancelled


main()
