"""What every kit without code of its own must do, whatever its tool: told once, run for each.

A kit here is an object with
    ask(url, token, case)    -> Told of its workflow, as its tool runs it
    tries                    how often its tool tries a call that fails
"""

import dataclasses
import json
import re

from scenarios import Case
from stage import BAD_GATEWAY, ELSEWHERE, LOG_IN_PAGE, PROTECTED


@dataclasses.dataclass
class Told:
    """What a workflow ends with: an outcome, or an error."""

    outcome: str = None
    action_id: str = None
    error: str = None


def all_of(stage, kit, checks):
    """Runs all scenarios."""
    for scenario in (outcomes, run_again, no_answer_in_time, troubles, refused):
        stage.front.forget()
        scenario(stage, kit, checks)


def outcomes(stage, kit, checks):
    for wanted, (token, end, file_hash, calls) in stage.ways().items():
        case = Case(stage.machine(end), file_hash)
        told = kit.ask(stage.url, token, case)
        checks.holds(f"{wanted} is understood", told.outcome == wanted, told)
        checks.holds(f"{wanted} took {calls} call of Defender", stage.calls(case.machine) == calls)
        if told.action_id:
            action = stage.action(told.action_id)
            named = (action["alert"]["id"], action["machine"]["id"], action["file"]["sha1"])
            checks.holds("the action is about what was asked for", named == (case.incident, case.machine, file_hash), action)
            checks.holds("and has the alert's time", action["alert"]["occurred_at"] is not None, action)


def run_again(stage, kit, checks):
    case = Case(stage.machine())
    first, second = (kit.ask(stage.url, stage.approve_token, case) for _ in range(2))
    checks.holds("a workflow that runs again asks for the same", bool(first.action_id) and first == second, first, second)
    (headers, body), (other_headers, other_body) = stage.front.posts()
    key = headers["Idempotency-Key"]
    checks.holds("under the same key", key == other_headers["Idempotency-Key"] and json.loads(body) == json.loads(other_body), key)
    checks.holds("which is of the draft's form", bool(re.fullmatch(r'"[!-~]{1,255}"', key)), key)
    kit.ask(stage.url, stage.approve_token, dataclasses.replace(case, machine=stage.machine()))
    checks.holds("another device has another", stage.front.posts()[-1][0]["Idempotency-Key"] != key)
    kit.ask(stage.url, stage.approve_token, dataclasses.replace(case, file_hash=PROTECTED))
    checks.holds("and another file too", stage.front.posts()[-1][0]["Idempotency-Key"] != key)


def no_answer_in_time(stage, kit, checks):
    case = Case(stage.machine("offline"))
    told = kit.ask(stage.url, stage.token, case)
    checks.holds("an offline device leaves it pending", told.outcome == "pending", told)
    checks.holds("which is told with its id", bool(told.action_id) and stage.action(told.action_id)["state"] == "submitted", told)


def troubles(stage, kit, checks):
    front = stage.front
    front.plays = [BAD_GATEWAY] * (kit.tries - 1)
    case = Case(stage.machine())
    told = kit.ask(stage.url, stage.token, case)
    checks.holds("trouble passes", told.outcome == "succeeded", told)
    keys = {headers["Idempotency-Key"] for headers, _ in front.posts()}
    checks.holds("every try has the same key", len(front.posts()) == kit.tries and len(keys) == 1, keys)
    checks.holds("and nothing was done twice", stage.calls(case.machine) == 1)
    for name, always in (("502", BAD_GATEWAY), ("a page with 200", LOG_IN_PAGE), ("a redirect", ELSEWHERE)):
        front.forget()
        front.always = always
        told = kit.ask(stage.url, stage.token, Case(stage.machine()))
        checks.holds(f"{name} that lasts is an error", told.outcome is None and bool(told.error), told)
        checks.holds("and the token is in no message", stage.token not in told.error, told)
    front.always = None


def refused(stage, kit, checks):
    for token, says in (("qb_wrong", "401"), (stage.reader, "403")):
        told = kit.ask(stage.url, token, Case(stage.machine()))
        checks.holds(f"{says} is an error", told.outcome is None and says in (told.error or ""), told)
    told = kit.ask(stage.url, stage.token, Case("two names, one device"))
    checks.holds("so is what the bridge finds wrong", told.outcome is None and "400" in (told.error or ""), told)
