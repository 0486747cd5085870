"""Asks quarantine-bridge for an action and learns what became of it. Python 3.9 or newer, with requests.

deploy/soar/python/quarantine_bridge_client.py is the original. The kits hold the same text, because what they install must
be complete in itself; a test keeps the copies alike. Change the original and run `python3 tests/soar/copies.py --update`.
"""

import hashlib
import ipaddress
import json
import re
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit

import requests

# Seconds before the second, third and fourth try.
DELAYS = (1, 2, 4)
# The longest Retry-After that is waited for in one call, in seconds: a tool's step must end.
RETRY_AFTER_MAX = 30
# The longest that the bridge waits with its answer, in seconds.
WAIT_MAX = 30
# Seconds to connect, and seconds without a byte, or until the last one of an answer that has begun, beside those that the
# bridge was asked to wait.
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 20
# More than any answer of the bridge, in bytes.
ANSWER_MAX = 4 * 1024 * 1024

PROBLEM = "urn:quarantine-bridge:problem:"
SEVERITIES = ("informational", "low", "medium", "high", "critical")

# What a playbook branches on, for each state that the bridge ends or holds an action in.
OUTCOMES = {
    "succeeded": "succeeded",
    "held": "held",
    "denied": "not_done",
    "expired": "not_done",
    "shadowed": "not_done",
    "cancelled": "not_done",
    "superseded": "not_done",
    "failed": "failed",
    "rejected": "failed",
    "timed_out": "timed_out",
}

SENTENCES = {
    "succeeded": "Defender has stopped and quarantined the file on the device.",
    "held": "It waits for a person at the bridge; nothing was sent.",
    "denied": "The bridge's policy or a person said no; nothing was sent.",
    "expired": "It became too old; nothing was sent.",
    "shadowed": "The bridge runs in mode shadow here: it decided and recorded, and sent nothing.",
    "cancelled": "It was cancelled.",
    "superseded": "Somebody else's action for this device and file is at Defender; the bridge sent nothing and does not follow it.",
    "failed": "Defender says that it failed.",
    "rejected": "Defender did not take it.",
    "timed_out": "Defender gave up; the device may be offline.",
}


class Misconfigured(ValueError):
    """What the step was given cannot be used. The text never holds the token."""


class Refused(Exception):
    """The bridge answered, and asking the same again will not help."""

    def __init__(self, status, text, problem):
        self.status = status
        # Such as `key-reused`; empty if it was no bridge that answered.
        self.code = str(problem.get("type", "")).removeprefix(PROBLEM)
        super().__init__(f"the bridge answered {status}: {text}")


class Away(Exception):
    """No use could be made of any try's answer. Asking the same again is safe: the key tells that it is the same."""


class Standing:
    """How an action stands."""

    def __init__(self, status, body, retry_after):
        self.action_id, self.state = body["id"], body["state"]
        if not (isinstance(self.action_id, str) and isinstance(self.state, str)):
            raise TypeError("id and state are texts")
        self.is_pending = status == 202
        self.ask_again = retry_after or 5
        # The bridge had the action before it was asked now.
        self.was_known = bool(body.get("duplicate"))
        # All that is known of it; a receipt of one that has only begun has none.
        self.action = body.get("action") or (body if "history" in body else {})

    @property
    def outcome(self):
        """Returns `pending`, `succeeded`, `held`, `not_done`, `failed`, `timed_out`, or `unknown` for what is none of them."""
        return "pending" if self.is_pending else OUTCOMES.get(self.state, "unknown")

    @property
    def sentence(self):
        """Returns what became of it, for a person."""
        if self.is_pending:
            why = self.action.get("waiting_for")
            return f"It is on its way ({self.state})." + (f" {why}" if why else "")
        said = SENTENCES.get(self.state, f"It is {self.state}.")
        return said + self._reason()

    def _reason(self):
        if self.action.get("held_reason"):
            return f" Reason: {self.action['held_reason']}."
        guards = [hold["guard"] for hold in self.action.get("holds") or []]
        if guards:
            return f" Held by: {', '.join(guards)}."
        why = (self.action.get("history") or [{}])[-1].get("why")
        return f" {why}" if isinstance(why, str) and self.state != "succeeded" else ""

    def facts(self):
        """Returns what a step hands on to the next."""
        machine_action = self.action.get("machine_action") or {}
        return {
            "id": self.action_id,
            "state": self.state,
            "outcome": self.outcome,
            "message": self.sentence,
            "duplicate": self.was_known,
            "machine_action_id": machine_action.get("id"),
            "machine_action_status": machine_action.get("status"),
        }


class _Bearer(requests.auth.AuthBase):
    """The token. As an auth object, so that no .netrc of the machine takes its place."""

    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Bridge:
    """A bridge, and the token of one who may ask it for actions."""

    def __init__(self, url, token, verify=True, proxies=None):
        self.url = base_url(url)
        token = (token or "").strip()
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Misconfigured("the token is missing, or holds what no token holds")
        self.auth = _Bearer(token)
        self.verify = verify
        self.proxies = proxies

    def ask(self, wanted, key, wait=0):
        """Asks for an action; the same key and body never lead to a second one. Returns its Standing."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
        body = json.dumps(wanted, sort_keys=True).encode("utf-8")
        return self._standing("POST", "/v1/actions", headers, body, wait)

    def look(self, action_id, wait=0):
        """Returns how an action stands."""
        return self._standing("GET", status_path(action_id), {}, None, wait)

    def check(self):
        """Makes sure that a bridge is there and takes the token for requests. Asks for no action."""
        nobody = "00000000-0000-0000-0000-000000000000"
        try:
            self._call("GET", status_path(nobody), {}, None, 0)
        except Refused as error:
            if error.code == "not-found":
                return
            raise
        raise Refused(200, "is this the address of a bridge?", {})

    def follow(self, standing, patience):
        """Asks how an action stands until it is over, held, or patience (seconds) ends; then it is still pending."""
        end = time.monotonic() + patience
        while standing.is_pending and time.monotonic() < end:
            begun = time.monotonic()
            left = end - begun
            try:
                standing = self.look(standing.action_id, wait=min(WAIT_MAX, int(left)))
            except Away:
                # It is known that the bridge has the action, so a while without answers is no reason to give it up.
                pass
            # A bridge with too many who wait answers at once.
            rest = min(standing.ask_again, end - time.monotonic())
            if standing.is_pending and time.monotonic() - begun < 1 and rest > 0:
                time.sleep(rest)
        return standing

    def _standing(self, method, path, headers, body, wait):
        if wait > 0:
            headers = {**headers, "Prefer": f"wait={min(int(wait), WAIT_MAX)}"}
        status, retry_after, said = self._call(method, path, headers, body, wait)
        try:
            return Standing(status, said, retry_after)
        except (KeyError, TypeError) as error:
            raise Refused(status, "it is no answer of a bridge; is the address right?", {}) from error

    def _call(self, method, path, headers, body, wait):
        """Returns status, Retry-After and JSON of a 2xx answer. Raises Refused, or Away after the last try."""
        last = None
        for delay in (*DELAYS, None):
            retry_after = None
            try:
                status, retry_after, text = self._send(method, path, headers, body, wait)
                said = as_object(text)
                if 200 <= status < 300:
                    return status, retry_after, said
                if not may_pass(status, said):
                    raise Refused(status, explain(status, said), said)
                last = f"it answered {status}: {explain(status, said)}"
            except requests.RequestException as error:
                last = f"{type(error).__name__}: {error}"
            if delay is not None:
                time.sleep(min(delay if retry_after is None else retry_after, RETRY_AFTER_MAX))
        raise Away(f"{len(DELAYS) + 1} tries failed; the last: {last}")

    def _send(self, method, path, headers, body, wait):
        patience = READ_TIMEOUT + min(wait, WAIT_MAX)
        answer = requests.request(
            method,
            self.url + path,
            headers={**headers, "Accept": "application/json"},
            data=body,
            auth=self.auth,
            verify=self.verify,
            proxies=self.proxies,
            timeout=(CONNECT_TIMEOUT, patience),
            # Another address has no right to the token.
            allow_redirects=False,
            stream=True,
        )
        end = time.monotonic() + patience
        with answer:
            text = b""
            for piece in answer.iter_content(64 * 1024):
                text += piece
                if len(text) > ANSWER_MAX:
                    break
                if time.monotonic() > end:
                    raise requests.Timeout("the answer came too slowly")
        seconds = answer.headers.get("Retry-After", "")
        return answer.status_code, int(seconds) if re.fullmatch("[0-9]{1,6}", seconds) else None, text


def may_pass(status, said):
    """Says whether the same request may be answered otherwise after a while."""
    is_still_running = said.get("type") == PROBLEM + "still-running"
    return status in (408, 425, 429) or status >= 500 or is_still_running


def explain(status, said):
    """Returns a sentence for a person: what the bridge said, or what the status means."""
    if status == 401:
        return "it does not know the token: has it ended, or was it revoked?"
    if 300 <= status < 400:
        return "a redirect, which is not followed: correct the address"
    if str(said.get("type", "")).startswith(PROBLEM):
        return " ".join(str(said[name]) for name in ("title", "detail") if said.get(name))
    return "it was not the bridge that answered, but something before it, or the address is wrong"


def as_object(text):
    """Returns a JSON object, or an empty one for anything else, such as a proxy's page."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def base_url(url):
    """Returns the address without a slash at its end. Refuses one that would carry the token over a network in clear."""
    url = (url or "").strip().rstrip("/")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Misconfigured(f"the address cannot be read: {error}") from error
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not (parts.scheme == "https" and parts.hostname) and not (parts.scheme == "http" and is_local):
        raise Misconfigured("the address must begin with https:// (http:// to this machine only)")
    return url


def status_path(action_id):
    """Returns where to ask how an action stands."""
    text = str(action_id or "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise Misconfigured("the id of an action is a UUID, as the request for it was answered")
    return f"/v1/actions/{text}/status"


def idempotency_key(*parts):
    """Returns a key that the same parts give again. Parts: which tool, its own ids of the run, and what it is about."""
    text = json.dumps([str(part) for part in parts]).encode("utf-8")
    return f"{parts[0]}-{hashlib.sha256(text).hexdigest()}"


def wanted_action(alert_id, severity, occurred_at, machine, file, **others):
    """Returns the body of a request for an action. Others: title, url, mode, note; those without a value are left out."""
    wanted = {
        "alert_id": str(alert_id or "").strip(),
        "severity": str(severity or "").strip().lower(),
        "occurred_at": moment(occurred_at),
        "machine": machine_entity(machine),
        "file": file,
    }
    for name, value in others.items():
        text = " ".join(str(value or "").split())
        if text:
            wanted[name] = text[:500] if name in ("title", "note") else text
    return wanted


def machine_entity(text):
    """Returns a device by what its text is: Defender's id, Entra ID's id, an address, or else a DNS name."""
    text = str(text or "").strip()
    if re.fullmatch("[0-9a-fA-F]{40}", text):
        return {"id": text.lower()}
    if re.fullmatch("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        return {"aad_device_id": text.lower()}
    try:
        return {"ip": str(ipaddress.ip_address(text))}
    except ValueError:
        return {"dns_name": text}


def file_entity(text, name=None):
    """Returns a file by its SHA1 or SHA256."""
    text = str(text or "").strip().lower()
    kind = {40: "sha1", 64: "sha256"}.get(len(text))
    if kind is None or not re.fullmatch("[0-9a-f]+", text):
        raise Misconfigured("the file must be named by one SHA1 (40 hexadecimal digits) or one SHA256 (64)")
    name = str(name or "").strip()
    return {kind: text, "name": name[:500]} if name else {kind: text}


def moment(value):
    """Returns a time as RFC 3339: a text goes as it is, a number is seconds or milliseconds since 1970."""
    text = str(value or "").strip()
    if not re.fullmatch(r"[0-9]{9,14}(\.[0-9]+)?", text):
        return text
    seconds = float(text) / 1000 if len(text.split(".")[0]) > 11 else float(text)
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
