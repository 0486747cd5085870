#!/usr/bin/env python3
"""Takes TheHive's webhooks on this machine, asks TheHive which file goes with which device, and tells quarantine-bridge.

TheHive sends each observable as a webhook of its own: the hash in one, the device in another. So none of them is enough,
and this program reads all observables of the alert or case. It acts on what a person or an analyzer has marked: hashes
with the tag `quarantine`, and exactly one device (data type hostname or fqdn, or the tag `machine-id:` and Defender's
id). Anything else is refused with the reason, never guessed.

    quarantine_bridge_thehive.py --config thehive.json

It answers TheHive: 200 nothing to do, 202 the bridge has it, 422 it cannot be paired or the bridge refuses it,
503 TheHive or the bridge is away. Everything is told on standard error.
"""

import argparse
import hmac
import json
import os
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import quarantine_bridge_signer as signer  # noqa: E402 (the path must be set first)

TAG = "quarantine"
MACHINE_TAG = "machine-id:"
SEVERITIES = {1: "low", 2: "medium", 3: "high", 4: "critical"}
BODY_BYTES_MAX = 1024 * 1024


class Unpaired(Exception):
    """The observables do not say which file is on which device."""


class TheHiveAway(Exception):
    """TheHive did not tell the observables."""


def has_mark(observable):
    return TAG in (observable.get("tags") or [])


def device(observables):
    """Returns the one device that the observables name."""
    ids = {
        tag[len(MACHINE_TAG):].lower()
        for observable in observables
        for tag in observable.get("tags") or []
        if tag.startswith(MACHINE_TAG)
    }
    names = {
        observable["data"].lower()
        for observable in observables
        if observable.get("dataType") in ("hostname", "fqdn") and observable.get("data")
    }
    found = ids or names
    if len(found) != 1:
        what = ", ".join(sorted(found)) or "none"
        raise Unpaired("exactly one device is needed, found: %s" % what)
    return signer.machine_entity(found.pop())


def files(observables):
    """Returns the files marked for quarantine: hashes of 40 or 64 digits, and attachments by the hash TheHive took."""
    found = []
    for observable in filter(has_mark, observables):
        if observable.get("dataType") == "hash" and len(observable.get("data") or "") in (40, 64):
            found.append(signer.file_entity(observable["data"]))
        elif observable.get("dataType") == "file" and observable.get("attachment"):
            attachment = observable["attachment"]
            sha1 = [text for text in attachment.get("hashes") or [] if len(text) == 40]
            if len(sha1) == 1:
                found.append(signer.file_entity(sha1[0], attachment.get("name")))
    if not found:
        raise Unpaired("no observable with the tag %s is a SHA1, a SHA256 or a file" % TAG)
    return found


def subject(event):
    """Returns the alert or case that a webhook is about, or None if it is about something else."""
    thing = event.get("object") or {}
    if event.get("action") == "delete" or event.get("operation") == "delete":
        return None
    for owner in (thing.get("alert"), thing.get("case"), thing):
        if isinstance(owner, dict) and owner.get("_type", "").lower() in ("alert", "case"):
            return owner
    return None


def to_alert(owner, observables):
    alert = {
        "alert_id": owner["_id"],
        "severity": SEVERITIES.get(owner.get("severity"), ""),
        "title": owner.get("title") or owner["_id"],
        "occurred_at": owner.get("date") or owner.get("_createdAt"),
    }
    machine = device(observables)
    alert["targets"] = [{"machine": machine, "file": file} for file in files(observables)]
    return alert


class Forwarder:
    """What the configuration names."""

    def __init__(self, path):
        with open(path) as file:
            config = json.load(file)
        folder = os.path.dirname(os.path.abspath(path))
        self.bridge_url = config["bridge_url"]
        signer.check_url(self.bridge_url)
        self.secret = signer.read_secret_file(os.path.join(folder, config["bridge_secret_file"]))
        self.thehive_url = config["thehive_url"].rstrip("/")
        signer.check_url(self.thehive_url)
        self.thehive_key = signer.read_secret_file(os.path.join(folder, config["thehive_key_file"]))
        self.webhook_token = signer.read_secret_file(os.path.join(folder, config["webhook_token_file"]))
        self.port = int(config.get("port", 8423))
        self.ca_file = config.get("ca_file")

    def observables(self, owner):
        """Asks TheHive for all observables of the alert or case."""
        get = "getAlert" if owner["_type"].lower() == "alert" else "getCase"
        query = {"query": [{"_name": get, "idOrName": owner["_id"]}, {"_name": "observables"}]}
        headers = {"Authorization": "Bearer " + self.thehive_key, "Content-Type": "application/json"}
        url = self.thehive_url + "/api/v1/query?name=observables"
        request = urllib.request.Request(url, json.dumps(query).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise TheHiveAway("TheHive did not tell the observables: %s" % error)

    def forward(self, event):
        """Deals with one webhook; returns the status to answer and what to tell."""
        owner = subject(event)
        if owner is None:
            return 200, "not about an alert or a case"
        try:
            observables = self.observables(owner)
            if not any(map(has_mark, observables)):
                return 200, "%s: nothing is marked %s" % (owner["_id"], TAG)
            body = signer.to_body(to_alert(owner, observables))
            _status, text = signer.deliver(self.bridge_url, self.secret, body, ca_file=self.ca_file)
            return 202, "%s: the bridge has it: %s" % (owner["_id"], text)
        except (Unpaired, signer.Refused, KeyError) as error:
            return 422, "%s: %s" % (owner.get("_id"), error)
        except (TheHiveAway, signer.Unreachable) as error:
            return 503, "%s: %s" % (owner.get("_id"), error)


class Webhook(BaseHTTPRequestHandler):
    """One webhook of TheHive."""

    timeout = 10

    def do_POST(self):
        given = self.headers.get("Authorization", "")
        expected = "Bearer " + self.server.forwarder.webhook_token
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return self.answer(401, "the token is missing or wrong")
        try:
            length = int(self.headers.get("Content-Length", ""))
            if not 0 <= length <= BODY_BYTES_MAX:
                return self.answer(413, "the webhook is too large")
            event = json.loads(self.rfile.read(length))
            if not isinstance(event, dict):
                raise ValueError
        except ValueError:
            return self.answer(400, "the webhook is not a JSON object")
        return self.answer(*self.server.forwarder.forward(event))

    def answer(self, status, text):
        sys.stderr.write("%d %s\n" % (status, " ".join(text.split())))
        body = json.dumps({"message": text}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


def main():
    parser = argparse.ArgumentParser(description="Forwards TheHive's webhooks to quarantine-bridge, paired and signed.")
    parser.add_argument("--config", required=True, help="JSON file; see thehive.example.json")
    arguments = parser.parse_args()
    try:
        forwarder = Forwarder(arguments.config)
    except (OSError, ValueError, KeyError, signer.SecretError) as error:
        sys.stderr.write("%s: %s %s\n" % (arguments.config, type(error).__name__, error))
        return 78
    server = ThreadingHTTPServer(("127.0.0.1", forwarder.port), Webhook)
    server.forwarder = forwarder
    sys.stderr.write("listening on http://127.0.0.1:%d\n" % server.server_port)
    sys.stderr.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
