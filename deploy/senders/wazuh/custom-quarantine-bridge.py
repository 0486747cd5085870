"""Wazuh integration: sends an alert as it is to quarantine-bridge, signed. Needs quarantine_bridge_signer.py beside it.

wazuh-integratord calls it with: ALERT_FILE API_KEY HOOK_URL [debug] [OPTIONS_FILE] [...]. The options name the file
with the secret; API_KEY is not used, since everybody on the machine can read it in the list of processes.

Exit codes: 0 the bridge has it, 2 wrong arguments, 3 wrong options or secret, 6 no alert file, 7 the alert is not JSON,
8 the bridge refused it, 9 the bridge is away.
"""

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)

import quarantine_bridge_signer as signer  # noqa: E402 (the path must be set first)

LOG = os.path.join(os.path.dirname(HERE), "logs", "integrations.log")


class Failure(Exception):
    """Something that ends the script, with its exit code."""

    def __init__(self, code, text):
        self.code = code
        Exception.__init__(self, text)


def log(text):
    """Writes to Wazuh's log of integrations, and to standard error for people who try it by hand."""
    line = "%s custom-quarantine-bridge: %s" % (time.strftime("%Y-%m-%dT%H:%M:%S%z"), " ".join(text.split()))
    sys.stderr.write(line + "\n")
    try:
        with open(LOG, "a") as file:
            file.write(line + "\n")
    except OSError:
        pass  # tried by hand, outside Wazuh's folders


def read_options(arguments):
    """Reads the file that Wazuh writes from <options>: its name ends in `options`."""
    path = next((argument for argument in arguments[3:] if argument.endswith("options")), None)
    if path is None:
        raise Failure(3, "there are no <options>: they must name the secret_file")
    try:
        with open(path) as file:
            options = json.load(file)
        secret_file = options["secret_file"]
    except (OSError, ValueError, KeyError, TypeError):
        raise Failure(3, '<options> must be JSON such as {"secret_file": "etc/quarantine-bridge-secret"}')
    # Relative to Wazuh's own folder.
    return os.path.join(os.path.dirname(HERE), secret_file), options.get("ca_file")


def read_alert(path):
    """Reads the alert's bytes, which are sent as they are."""
    try:
        with open(path, "rb") as file:
            body = file.read().strip()
    except OSError:
        raise Failure(6, "there is no alert file %s" % path)
    try:
        return body, json.loads(body.decode("utf-8"))["id"]
    except (ValueError, KeyError, TypeError):
        raise Failure(7, "%s holds no alert as JSON: does the integration say <alert_format>json</alert_format>?" % path)


def send(arguments):
    if len(arguments) < 3:
        raise Failure(2, "wrong arguments: ALERT_FILE API_KEY HOOK_URL [debug] [OPTIONS_FILE]")
    body, alert_id = read_alert(arguments[0])
    secret_file, ca_file = read_options(arguments)
    try:
        status, _text = signer.deliver(arguments[2], signer.read_secret_file(secret_file), body, ca_file=ca_file)
    except signer.SecretError as error:
        raise Failure(3, str(error))
    except ValueError as error:
        raise Failure(2, str(error))
    except signer.Refused as error:
        raise Failure(8, "alert %s: %s" % (alert_id, error))
    except signer.Unreachable as error:
        raise Failure(9, "alert %s is lost here: %s" % (alert_id, error))
    log("alert %s is at the bridge (HTTP %d)" % (alert_id, status))


def main():
    try:
        send(sys.argv[1:])
        return 0
    except Failure as failure:
        log("ERROR: %s" % failure)
        return failure.code


if __name__ == "__main__":
    sys.exit(main())
