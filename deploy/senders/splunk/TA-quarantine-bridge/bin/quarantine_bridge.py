"""Splunk custom alert action: sends every row of an alert's results to quarantine-bridge, signed.

Splunk calls it with --execute and writes a JSON description of the alert to its standard input. What it writes to
standard error goes to splunkd.log. Exit codes: 0 the bridge has every row, 1 it refused a row or is away, 2 called
otherwise than by Splunk, 3 the configuration or the secret is wrong.
"""

import csv
import gzip
import hashlib
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import quarantine_bridge_signer as signer  # noqa: E402 (the path must be set first)

APP = "TA-quarantine-bridge"
REALM = "quarantine_bridge"
# The bridge takes 256 KiB a delivery.
BODY_BYTES_MAX = 200 * 1024
ALERTS_MAX = 100


class ConfigError(Exception):
    """The alert action is not configured as it must be."""


def log(level, text):
    sys.stderr.write("%s %s\n" % (level, " ".join(text.split())))


def stored_secret(alert, name):
    """Reads the secret from Splunk's credential store, as the owner of the alert may."""
    entry = urllib.parse.quote("%s:%s:" % (REALM, name), safe="")
    server = alert["server_uri"].rstrip("/")
    url = "%s/servicesNS/nobody/%s/storage/passwords/%s?output_mode=json" % (server, APP, entry)
    request = urllib.request.Request(url, headers={"Authorization": "Splunk " + alert["session_key"]})
    context = ssl.create_default_context()
    if urllib.parse.urlsplit(server).hostname in ("127.0.0.1", "::1", "localhost"):
        # Splunk's own certificate is made by itself, and the call does not leave this machine.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
            return json.load(answer)["entry"][0]["content"]["clear_password"]
    except OSError as error:
        raise ConfigError("the secret %r cannot be read from storage/passwords: %s" % (name, error))
    except (ValueError, LookupError):
        raise ConfigError("storage/passwords answered without the secret %r" % name)


def rows(path):
    """Reads the rows of the results: Splunk writes a compressed CSV file."""
    csv.field_size_limit(16 * 1024 * 1024)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row


def to_alert(row, settings, search):
    """Makes one alert of the bridge form out of one row; `settings` says which field holds what."""
    def field(parameter, default):
        return (row.get(settings.get(parameter) or default) or "").strip()

    machine_id = field("machine_id_field", "machine_id")
    machine = signer.machine_entity(machine_id or field("machine_name_field", "dest"))
    file = signer.file_entity(field("file_hash_field", "file_hash"), field("file_name_field", "file_name"))
    occurred_at = field("time_field", "_time")
    alert_id = field("id_field", "event_id")
    if not alert_id:
        # A search that runs again over the same minutes finds the same rows: they must be the same alerts, so neither
        # the id of the run nor the number of the row may be part of it.
        parts = [search, occurred_at, json.dumps(machine, sort_keys=True), json.dumps(file, sort_keys=True)]
        alert_id = "splunk:" + hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:40]
    return signer.bridge_alert(
        alert_id,
        (field("severity_field", "") or settings.get("severity") or "").lower(),
        field("title_field", "rule_title") or search,
        to_time(occurred_at),
        machine,
        file,
    )


def to_time(text):
    """Splunk writes _time in seconds, with or without a fraction; other texts go as they are."""
    try:
        return int(float(text))
    except ValueError:
        return text


def bodies(alerts):
    """Packs alerts into bodies that the bridge takes."""
    packed, size = [], 0
    for alert in alerts:
        length = len(signer.to_body(alert)) + 1
        if packed and (size + length > BODY_BYTES_MAX or len(packed) == ALERTS_MAX):
            yield signer.to_body(packed)
            packed, size = [], 0
        packed.append(alert)
        size += length
    if packed:
        yield signer.to_body(packed)


def report(text):
    """Logs what became of a delivery; returns how many alerts the bridge refused in it."""
    answer = json.loads(text)
    for alert in answer.get("alerts", []):
        actions = ", ".join(action["id"] for action in alert.get("actions", []))
        log("INFO", "alert %s is at the bridge, actions: %s" % (alert.get("alert_id"), actions))
    refused = answer.get("refused") or []
    for alert in refused:
        log("ERROR", "the bridge refused an alert: %s" % json.dumps(alert, sort_keys=True))
    return len(refused)


def send_all(alert):
    """Sends every row; returns the exit code."""
    settings = alert.get("configuration") or {}
    search = alert.get("search_name") or "ad hoc search"
    url = settings.get("url") or ""
    if not url:
        raise ConfigError("param.url is not set")
    secret = stored_secret(alert, settings.get("secret_name") or "soc")
    found = [to_alert(row, settings, search) for row in rows(alert["results_file"])]
    failed = 0
    for body in bodies(found):
        try:
            _status, text = signer.deliver(url, secret, body, ca_file=settings.get("ca_file") or None)
            failed += report(text)
        except (signer.Refused, signer.Unreachable) as error:
            failed += 1
            log("ERROR", str(error))
    log("INFO", "%d rows of %r read, %d failures" % (len(found), search, failed))
    return 1 if failed else 0


def main():
    if len(sys.argv) < 2 or sys.argv[1] != "--execute":
        log("FATAL", "Splunk calls this script with --execute")
        return 2
    try:
        return send_all(json.load(sys.stdin))
    except (ConfigError, signer.SecretError, ValueError, KeyError, OSError) as error:
        log("FATAL", "nothing more was sent: %s" % (error if str(error) else type(error).__name__))
        return 3


if __name__ == "__main__":
    sys.exit(main())
