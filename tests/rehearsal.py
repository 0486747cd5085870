"""A real server against the simulated Defender, for scripts that talk to it from outside.

    with Rehearsal(binary) as bridge:
        token = bridge.token("me", ["actions:read"])
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone

TENANT = "00000000-0000-4000-8000-000000000001"
CLIENT = "00000000-0000-4000-8000-000000000002"
CLIENT_SECRET = "simulated-secret"

# Every scope but actions:write, which a token has together with its source.
SCOPES = ["actions:read", "actions:complete", "actions:cancel", "actions:approve", "actions:retry", "links:create",
          "actions:undo", "undo-marks:remove", "deliveries:replay", "kill-switch:on", "kill-switch:off", "policy:write", "audit:read",
          "metrics", "tokens:read", "tokens:revoke", "callbacks:read", "callbacks:replay", "callbacks:resume"]

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
public_url = "{public_url}"
link_key = {{ file = "link-key" }}
behind_proxy = true
[store]
path = "bridge.db"
[defender]
tenant_id = "{tenant}"
client_id = "{client}"
client_secret = {{ file = "defender-secret" }}
api_url = "{simulator}"
login_url = "{simulator}"
allow_custom_endpoint = true
[budget]
calls_per_minute = 1000000
calls_per_hour = 1000000
lookups_per_minute = 1000000
lookups_per_hour = 1000000
reads_per_minute = 1000000
reads_per_hour = 1000000
[dispatch]
look_every = "1s"
[policy]
first_actions = 0
blast_radius = []
[policy.guards]
cool_down = "off"
[callbacks.soar]
url = "http://127.0.0.1:9/hooks/quarantine"
secrets = [{{ file = "whsec" }}]
allow_private = ["127.0.0.0/8"]
[sources.soc]
format = "bridge"
mode = "enforce"
quota = {{ deliveries_per_minute = 1000000, burst = 1000000 }}
retries_429 = true
[sources.soc.auth]
scheme = "standard-webhooks"
secrets = [{{ file = "whsec" }}]
[sources.splunk]
format = "bridge"
mode = "shadow"
accept_unsigned = true
quota = {{ deliveries_per_minute = 1000000, burst = 1000000 }}
retries_429 = true
[sources.splunk.auth]
scheme = "path-token"
secrets = [{{ file = "path-token" }}]
allow_cidrs = ["0.0.0.0/0", "::/0"]
[sources.playbooks]
mode = "enforce"
accept_unsigned = true
enforce_unsigned = "I accept the risk"
quota = {{ deliveries_per_minute = 1000000, burst = 1000000 }}
retries_429 = true
[sources.playbooks.auth]
scheme = "api"
{more}
[log]
level = "{level}"
"""

# The simulator's machine actions end soon, and its limits do not get in the way.
SWITCHES = {"per_minute": 1_000_000, "per_hour": 1_000_000, "in_progress_after_ms": 300, "done_after_ms": 1500}


class Failed(Exception):
    """What should have happened has not."""


class Rehearsal:
    """A simulator and a server in a folder of their own, from `with` to its end."""

    def __init__(self, binary, switches=None, more="", level="warn", public_url=None):
        self.binary = pathlib.Path(binary).resolve()
        self.switches = {**SWITCHES, **(switches or {})}
        self.more, self.level, self.public_url = more, level, public_url
        self.secrets = {
            "whsec": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "path-token": secrets.token_hex(24),
            "link-key": secrets.token_hex(32),
            "defender-secret": CLIENT_SECRET,
        }

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._folder.name)
        self._started = []
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error):
        for process in reversed(self._started):
            process.terminate()
            process.wait(30)
        self._folder.cleanup()

    def _start(self):
        for name, text in self.secrets.items():
            self.secret_file(name, text)
        simulator_port, port = free_port(), free_port()
        self.simulator, self.url = f"http://127.0.0.1:{simulator_port}", f"http://127.0.0.1:{port}"
        (self.folder / "switches.json").write_text(json.dumps(self.switches))
        self._run("simulator.log", "simulate", "--port", str(simulator_port), "--switches", "switches.json")
        wait_until(lambda: answers(f"{self.simulator}/simulator/calls"), "the simulator answers")
        config = CONFIG.format(port=port, simulator=self.simulator, tenant=TENANT, client=CLIENT, more=self.more,
                               level=self.level, public_url=self.public_url or self.url)
        (self.folder / "quarantine-bridge.toml").write_text(config)
        server = self._run("bridge.log", "serve")

        def is_ready():
            if server.poll() is not None:
                raise Failed(f"the server ended:\n{self.log()}")
            return answers(f"{self.url}/readyz")

        wait_until(is_ready, "the server is ready")

    def _run(self, log, *arguments):
        with open(self.folder / log, "w") as file:
            process = subprocess.Popen([self.binary, *arguments], cwd=self.folder, stdout=file, stderr=file)
        self._started.append(process)
        return process

    def secret_file(self, name, text):
        """Writes a file that only its owner may read."""
        with os.fdopen(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(text)

    def token(self, name, scopes, source=None, mode=None):
        """Makes a token of the API."""
        arguments = [self.binary, "token", "create", "--name", name]
        arguments += [word for scope in scopes for word in ("--scope", scope)]
        arguments += (["--source", source] if source else []) + (["--mode", mode] if mode else [])
        made = subprocess.run(arguments, cwd=self.folder, capture_output=True, text=True)
        if made.returncode != 0:
            raise Failed(made.stderr)
        return made.stdout.strip()

    def deliver(self, source, body):
        """Delivers a signed body; returns the receipt."""
        headers = {"content-type": "application/json", **signed(self.secrets["whsec"], body)}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/v1/hooks/{source}", body, headers), timeout=10) as answer:
            return json.load(answer)

    def log(self):
        return (self.folder / "bridge.log").read_text()

    def calls(self, part="/StopAndQuarantineFile"):
        """Returns the calls that the simulator has seen, with this in their path."""
        with urllib.request.urlopen(f"{self.simulator}/simulator/calls", timeout=10) as answer:
            return [call for call in json.load(answer)["calls"] if part in call["path"]]


def signed(secret, body):
    """Returns the headers of Standard Webhooks that prove a body."""
    identity, seconds = f"msg_{secrets.token_hex(16)}", str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{identity}.{seconds}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": identity, "webhook-timestamp": seconds, "webhook-signature": signature}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def wait_until(condition, what, seconds=60):
    """Returns the condition's value once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise Failed(f"in vain, for {seconds} s: {what}")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
