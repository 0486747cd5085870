"""Senders' own libraries against the real server: they sign, it accepts. Run by .ci/run.

    python3 run.py BINARY

Needs the packages of requirements.txt in this Python, and those of package.json in ./node_modules or NODE_PATH's folder
(argument --node DIR holds package.json, node.mjs and node_modules).
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone

from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook as Standard
from stripe import WebhookSignature
from svix.webhooks import Webhook as Svix

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
[store]
path = "bridge.db"
[defender]
tenant_id = "tenant"
client_id = "client"
client_secret = {{ file = "text" }}
[sources.standard]
format = "bridge"
mode = "shadow"
[sources.standard.auth]
scheme = "standard-webhooks"
secrets = [{{ file = "whsec_old" }}, {{ file = "whsec_new" }}]
[sources.github]
format = "bridge"
mode = "shadow"
[sources.github.auth]
scheme = "github"
secrets = [{{ file = "text" }}]
[sources.slack]
format = "bridge"
mode = "shadow"
[sources.slack.auth]
scheme = "slack"
secrets = [{{ file = "text" }}]
[sources.stripe]
format = "bridge"
mode = "shadow"
[sources.stripe.auth]
scheme = "timestamped"
header = "Stripe-Signature"
secrets = [{{ file = "text" }}]
[sources.grafana]
format = "bridge"
mode = "shadow"
[sources.grafana.auth]
scheme = "grafana"
secrets = [{{ file = "text" }}]
"""

results = []


def alert(alert_id):
    target = {"machine": "1" * 10 + "a" * 30, "file": "2" * 10 + "b" * 30}
    now = datetime.now(timezone.utc).isoformat()
    return json.dumps({"alert_id": alert_id, "severity": "high", "title": "ü, 漢, \U0001f512", "occurred_at": now,
                       "targets": [target]}, ensure_ascii=False)


def post(url, source, body, headers):
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(f"{url}/v1/hooks/{source}", body.encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check(url, name, source, wanted, body, headers):
    status, answer = post(url, source, body, headers)
    results.append(status == wanted)
    print(f"ok  {name}: {status}" if status == wanted else f"FAILED  {name}: {status}, wanted {wanted}: {answer}")


def grafana(secret, timestamp, body):
    """Grafana's own rule (grafana/alerting, http/hmac.go): timestamp, a colon, the body; in hexadecimal digits."""
    return hmac.new(secret.encode(), f"{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()


def all_checks(url, keys):
    now = datetime.now(timezone.utc)
    unix = str(int(now.timestamp()))
    for key, wanted in (("old", 202), ("new", 202), ("foreign", 401)):
        secret = keys[f"whsec_{key}"]
        body, msg = alert(f"pypi-standardwebhooks-{key}"), f"msg_pypi_standard_{key}"
        signature = Standard(secret).sign(msg, now, body)
        headers = {"webhook-id": msg, "webhook-timestamp": unix, "webhook-signature": signature}
        check(url, f"PyPI standardwebhooks, {key} secret", "standard", wanted, body, headers)
        body, msg = alert(f"pypi-svix-{key}"), f"msg_pypi_svix_{key}"
        headers = {"svix-id": msg, "svix-timestamp": unix, "svix-signature": Svix(secret).sign(msg, now, body)}
        check(url, f"PyPI svix, {key} secret", "standard", wanted, body, headers)
    both = alert("pypi-both")
    signatures = " ".join(Standard(keys[f"whsec_{key}"]).sign("msg_both", now, both) for key in ("foreign", "new"))
    headers = {"webhook-id": "msg_both", "webhook-timestamp": unix, "webhook-signature": signatures}
    check(url, "PyPI standardwebhooks, two signatures", "standard", 202, both, headers)

    body = alert("pypi-slack")
    signature = SignatureVerifier(keys["text"]).generate_signature(timestamp=unix, body=body)
    headers = {"x-slack-request-timestamp": unix, "x-slack-signature": signature}
    check(url, "PyPI slack_sdk", "slack", 202, body, headers)

    body = alert("pypi-stripe")
    header = f"t={unix},v1={WebhookSignature._compute_signature(f'{unix}.{body}', keys['text'])}"
    WebhookSignature.verify_header(body, header, keys["text"], tolerance=300)
    check(url, "PyPI stripe", "stripe", 202, body, {"stripe-signature": header})

    body = alert("grafana")
    headers = {"x-grafana-alerting-timestamp": unix, "x-grafana-alerting-signature": grafana(keys["text"], unix, body)}
    check(url, "Grafana's rule", "grafana", 202, body, headers)
    check(url, "Grafana's rule, another body", "grafana", 401, body + " ", headers)


def write_secret(path, text):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)


def wait_until_ready(url, server):
    for _ in range(200):
        if server.poll() is not None:
            sys.exit("the server ended")
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=2)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not become ready")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--node", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    whsec = lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    keys = {"whsec_old": whsec(), "whsec_new": whsec(), "whsec_foreign": whsec(), "text": secrets.token_hex(32)}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("whsec_old", "whsec_new", "text"):
            write_secret(f"{folder}/{name}", keys[name])
        pathlib.Path(folder, "quarantine-bridge.toml").write_text(CONFIG.format(port=port))
        with open(f"{folder}/log", "w") as log:
            server = subprocess.Popen([arguments.binary.resolve(), "serve"], cwd=folder, stderr=log)
        try:
            wait_until_ready(url, server)
            all_checks(url, keys)
            node = subprocess.run(["node", "node.mjs", url], cwd=arguments.node, input=json.dumps(keys), text=True)
        finally:
            server.terminate()
            server.wait(30)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    if not all(results) or node.returncode != 0:
        sys.exit(1)


main()
