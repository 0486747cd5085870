"""What every kit with code of its own must do, whatever its tool: told once, run for each.

A kit here is an object with
    client                                     its copy of quarantine_bridge_client
    patience                                   for how many seconds it waits for an outcome; the checks set it
    wait                                       for how many seconds it lets the bridge wait with the first answer
    goes_well                                  the outcomes that are no error to its tool
    test(url, token)                           -> Result of its test of the connection; None if its tool has no such thing
    ask(url, token, case)                      -> Result of its step, as its tool runs it
    look(url, token, action_id)                -> Result of asking how an action stands, or None if it has no such step
"""

import dataclasses
import itertools
import json
import re
import types

from stage import (BAD_GATEWAY, ELSEWHERE, LOG_IN_PAGE, OTHER_JSON, OVER_QUOTA, PROTECTED, SHA1, STILL_RUNNING, UNAVAILABLE,
                   drip, now, time)

numbers = itertools.count(1)


@dataclasses.dataclass
class Result:
    """What a step tells its tool: whether it went well, and the words that a playbook branches on."""

    is_ok: bool
    message: str
    outcome: str = None
    action_id: str = None


@dataclasses.dataclass
class Case:
    """What a person or a playbook enters."""

    machine: str
    file_hash: str = SHA1
    severity: str = "high"
    incident: str = dataclasses.field(default_factory=lambda: f"INC-{next(numbers)}")
    occurred_at: str = dataclasses.field(default_factory=now)


class Checks:
    """Counts what holds and what does not."""

    def __init__(self, name):
        self.name = name
        self.failures = self.passed = 0

    def holds(self, claim, is_so, *shown):
        """Notes whether a claim is so."""
        if is_so:
            self.passed += 1
        else:
            self.failures += 1
            print(f"FAILED  {self.name}: {claim}", *(str(what)[:1_000] for what in shown), sep="\n        ")


def all_of(stage, kit, checks):
    """Runs all scenarios."""
    sleeps = []
    # The kit's waits between tries are noted and not waited for; the clock goes on as it is.
    kit.client.time = types.SimpleNamespace(sleep=sleeps.append, monotonic=time.monotonic)
    for scenario in (test_of_connection, outcomes, run_again, no_answer_in_time, through_trouble, refused, passing_troubles, lasting_troubles,
                     wrong_input):
        stage.front.forget()
        sleeps.clear()
        kit.patience, kit.client.WAIT_MAX = 15, 7
        scenario(stage, kit, checks, sleeps)


def test_of_connection(stage, kit, checks, _):
    if kit.test is None:
        return
    front = stage.front
    good = kit.test(stage.url, stage.token)
    checks.holds("the test of the connection finds a bridge", good.is_ok, good)
    bad = kit.test(stage.url, "qb_wrong")
    checks.holds("and says that a token is wrong", not bad.is_ok and "does not know the token" in bad.message, bad)
    reader = kit.test(stage.url, stage.reader)
    checks.holds("and that one may not ask for actions", not reader.is_ok and "403" in reader.message, reader)
    front.always = LOG_IN_PAGE
    page = kit.test(stage.url, stage.token)
    checks.holds("and that something else is there", not page.is_ok and "address" in page.message, page)
    front.always = None
    for url in ("http://bridge.corp.example", "ftp://bridge.corp.example", "bridge.corp.example", "https://", "https://[1", ""):
        clear = kit.test(url, stage.token)
        checks.holds(f"and sends no token to {url}", not clear.is_ok and "address" in clear.message, clear)
    checks.holds("and none that no token is", not kit.test(stage.url, "two\nlines").is_ok and not kit.test(stage.url, "").is_ok)
    checks.holds("and asks for no action", not front.posts())


def outcomes(stage, kit, checks, _):
    for wanted, (token, end, file_hash, calls) in stage.ways().items():
        case = Case(stage.machine(end), file_hash)
        result = kit.ask(stage.url, token, case)
        checks.holds(f"{wanted} is understood", result.outcome == wanted, result)
        checks.holds(f"{wanted} goes well only if that is so", result.is_ok == (wanted in kit.goes_well), result)
        checks.holds(f"{wanted} took {calls} call of Defender", stage.calls(case.machine) == calls)
        action = stage.action(result.action_id)
        checks.holds("the action is because of the tool's own id", action["alert"]["id"].endswith(case.incident), action["alert"])
        checks.holds("and about its device and file", (action["machine"]["id"], action["file"]["sha1"]) == (case.machine, file_hash), action)
        if (looked := kit.look(stage.url, token, result.action_id)) is not None:
            checks.holds(f"{wanted} is seen later too", looked.outcome == wanted, looked)


def run_again(stage, kit, checks, _):
    case = Case(stage.machine())
    first, second = (kit.ask(stage.url, stage.approve_token, case) for _ in range(2))
    checks.holds("a step that runs again asks for the same", first.action_id == second.action_id, first, second)
    (headers, body), (other_headers, other_body) = stage.front.posts()
    key = headers["Idempotency-Key"]
    checks.holds("under the same key", key == other_headers["Idempotency-Key"] and body == other_body, key)
    checks.holds("which is of the draft's form", bool(re.fullmatch(r'"[!-~]{1,255}"', key)), key)
    kit.ask(stage.url, stage.approve_token, dataclasses.replace(case, machine=stage.machine()))
    checks.holds("another device has another", stage.front.posts()[-1][0]["Idempotency-Key"] != key)
    changed = kit.ask(stage.url, stage.approve_token, dataclasses.replace(case, severity="low"))
    checks.holds("with another severity it is refused, and says why", not changed.is_ok and "Idempotency-Key" in changed.message, changed)


def no_answer_in_time(stage, kit, checks, _):
    kit.patience, kit.client.WAIT_MAX = 3, 1
    case = Case(stage.machine("offline"))
    result = kit.ask(stage.url, stage.token, case)
    checks.holds("an offline device leaves it pending", result.outcome == "pending", result)
    checks.holds("which is told with its id", bool(result.action_id) and not stage.action(result.action_id)["final"], result)
    if (looked := kit.look(stage.url, stage.token, result.action_id)) is not None:
        checks.holds("and can be looked at later", looked.outcome == "pending", looked)


def through_trouble(stage, kit, checks, _):
    kit.patience, kit.client.WAIT_MAX = 15, 1
    # More than all tries of one call; the bridge has the action by then.
    stage.front.after_post = [BAD_GATEWAY] * 6
    case = Case(stage.machine())
    result = kit.ask(stage.url, stage.token, case)
    checks.holds("an action that the bridge has is waited for through trouble", result.outcome == "succeeded", result)
    checks.holds("and asked for once", len(stage.front.posts()) == 1 and stage.calls(case.machine) == 1, stage.front.seen)


def refused(stage, kit, checks, _):
    for token, says in (("qb_wrong", "does not know the token"), (stage.reader, "403")):
        result = kit.ask(stage.url, token, Case(stage.machine()))
        checks.holds(f"a refused token is told: {says}", not result.is_ok and says in result.message, result)
        checks.holds("and not sent again", len(stage.front.posts()) == 1, stage.front.seen)
        stage.front.forget()


def passing_troubles(stage, kit, checks, sleeps):
    front = stage.front
    for name, plays, slept in (
        ("502 with a page", [BAD_GATEWAY, BAD_GATEWAY], [1, 2]),
        ("409, still running", [STILL_RUNNING], [1]),
        ("429 with Retry-After", [OVER_QUOTA], [7]),
        ("503 with Retry-After", [UNAVAILABLE], [5]),
        ("a hang-up", [0], [1]),
    ):
        front.forget()
        sleeps.clear()
        front.plays = list(plays)
        result = kit.ask(stage.url, stage.approve_token, Case(stage.machine()))
        checks.holds(f"{name} passes", result.outcome == "held", result)
        checks.holds(f"{name} is waited for as long as it should", sleeps == slept, sleeps)
        keys = {headers["Idempotency-Key"] for headers, _ in front.posts()}
        checks.holds(f"{name}: every try has the same key", len(front.posts()) == len(plays) + 1 and len(keys) == 1, keys)
    front.forget()
    # The bridge may take that much longer than it was asked to wait.
    kit.client.WAIT_MAX, usual = 1, kit.client.READ_TIMEOUT
    kit.client.READ_TIMEOUT = 1.2 - min(kit.wait, 1)
    for name, play in (("silence", 2.5), ("an answer in drops", drip)):
        front.forget()
        front.plays = [play]
        result = kit.ask(stage.url, stage.approve_token, Case(stage.machine()))
        checks.holds(f"{name} ends, and is tried again", result.outcome == "held" and len(front.posts()) > 1, result)
    kit.client.READ_TIMEOUT = usual


def lasting_troubles(stage, kit, checks, _):
    front = stage.front
    for name, always, tries, says in (
        ("502 with a page", BAD_GATEWAY, 4, "502"),
        ("a page with 200", LOG_IN_PAGE, 1, "address"),
        ("another program's JSON", OTHER_JSON, 1, "address"),
        ("a redirect", ELSEWHERE, 1, "redirect"),
    ):
        front.forget()
        front.always = always
        result = kit.ask(stage.url, stage.token, Case(stage.machine()))
        checks.holds(f"{name} is an error that says so", not result.is_ok and says in result.message, result)
        checks.holds(f"{name} is tried {tries} times", len(front.posts()) == tries, front.seen)
        checks.holds(f"{name}: the token is in no message", stage.token not in result.message, result)


def wrong_input(stage, kit, checks, _):
    for change, says in (({"file_hash": "44d88612fea8a8f36de82e1278abb02f"}, "SHA1"), ({"file_hash": f"{SHA1},{PROTECTED}"}, "SHA1")):
        result = kit.ask(stage.url, stage.token, Case(stage.machine(), **change))
        checks.holds("a hash that is none of one file is told", not result.is_ok and says in result.message, result)
    checks.holds("and sent to nobody", not stage.front.seen)
    result = kit.ask(stage.url, stage.token, Case("two names, one device"))
    checks.holds("what the bridge finds wrong is told", not result.is_ok and "400" in result.message, result)
    stage.front.forget()
    if (looked := kit.look(stage.url, stage.token, "../../tokens")) is not None:
        checks.holds("an id that is none is sent to nobody", not looked.is_ok and not stage.front.seen, looked)


def bodies(front):
    """Returns the bodies of the requests that came."""
    return [json.loads(body) for _, body in front.posts()]
