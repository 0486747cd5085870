"""What the kits are run against: the real binary, its simulated Defender, and a proxy before it that can misbehave."""

import http.server
import itertools
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone

SHA1 = "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4"
# The bridge's own list says no to it.
PROTECTED = "5e0c2a9d7b1f4e6380a5d2c9b8e7f1a3c4d6e0f2"

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{front}"
[store]
path = "bridge.db"
[defender]
tenant_id = "00000000-0000-4000-8000-000000000001"
client_id = "00000000-0000-4000-8000-000000000002"
client_secret = {{ file = "defender-secret" }}
api_url = "{simulator}"
login_url = "{simulator}"
allow_custom_endpoint = true
[dispatch]
look_every = "1s"
[policy]
first_actions = 0
blast_radius = []
never_quarantine = "never-quarantine.txt"
[policy.guards]
seen_on_device = "off"
prevalence = "off"
determination = "off"
[sources.playbooks]
mode = "enforce"
accept_unsigned = true
enforce_unsigned = "I accept the risk"
[sources.playbooks.auth]
scheme = "api"
"""


def machine(kind):
    """Returns the id of a device that no other check has: a device is one action's at a time."""
    machine.number += 1
    return f"{kind:02x}" + f"{machine.number:038x}"


machine.number = 0
# The devices on which Defender's actions fail, time out and stay pending; 20 of each.
ENDS = {"Succeeded": 0x10, "Failed": 0xF1, "TimeOut": 0xF2, "offline": 0xF3}


def now():
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


# Below the ports that the system hands out, and apart for processes that run at once: what is free stays free.
ports = itertools.count(20_000 + os.getpid() % 1_000 * 10)


def free_port():
    for port in ports:
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def answer_of(request, timeout=60):
    """Returns status, headers and JSON (or text) of an answer, whatever its status."""
    try:
        answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read().decode()
        try:
            return answer.status, answer.headers, json.loads(text)
        except ValueError:
            return answer.status, answer.headers, text


class Stage:
    """A running bridge with its Defender; `url` is the proxy's, and so are all addresses that the bridge tells."""

    def __init__(self, binary):
        self.binary = str(pathlib.Path(binary).resolve())

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.processes = []
        self.front = Front()
        try:
            return self._started()
        except BaseException:
            self.__exit__()
            raise

    def _started(self):
        self.port, simulator = free_port(), free_port()
        self.bridge = f"http://127.0.0.1:{self.port}"
        self.front.behind = self.bridge
        self.url = self.front.url
        self.write("defender-secret", "simulated-secret")
        self.write("switches.json", json.dumps({"in_progress_after_ms": 100, "done_after_ms": 200}))
        self.write("world.json", json.dumps({"any_machine": True, "machines": self._machines()}))
        self.write("never-quarantine.txt", f"{PROTECTED} never soc it is ours\n")
        config = CONFIG.format(
            port=self.port, front=self.front.port, simulator=f"http://127.0.0.1:{simulator}"
        )
        self.write("quarantine-bridge.toml", config)
        self._start("simulator.log", "simulate", "--port", str(simulator), "--switches", "switches.json", "--world", "world.json")
        self._start("bridge.log", "serve")
        self.simulator = f"http://127.0.0.1:{simulator}"
        self._wait_until_ready()
        ask = ("--scope", "actions:write", "--source", "playbooks")
        self.token = self._token("enforcing", *ask)
        # What it asks for waits for a person.
        self.approve_token = self._token("asking", *ask, "--mode", "approve")
        self.reader = self._token("reader", "--scope", "actions:read")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.front.close()
        self.folder.cleanup()

    def write(self, name, text):
        path = pathlib.Path(self.folder.name, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def _machines(self):
        made = []
        for kind in ("Failed", "TimeOut", "offline"):
            for _ in range(20):
                name = machine(ENDS[kind])
                end = {"is_offline": True} if kind == "offline" else {"ends_as": kind}
                made.append({"id": name, "dns_name": f"ws-{name[-6:]}.corp.example", "files": [SHA1], **end})
        self.made = {kind: [m["id"] for m in made if m["id"].startswith(f"{ENDS[kind]:02x}")] for kind in ENDS}
        return made

    def machine(self, end="Succeeded"):
        """Returns the id of a fresh device on which actions end so."""
        return machine(ENDS[end]) if end == "Succeeded" else self.made[end].pop()

    def ways(self):
        """For each outcome a way to it: whose token, how Defender's action ends, which file, and how many calls that takes."""
        return {
            "succeeded": (self.token, "Succeeded", SHA1, 1),
            "failed": (self.token, "Failed", SHA1, 1),
            "timed_out": (self.token, "TimeOut", SHA1, 1),
            "held": (self.approve_token, "Succeeded", SHA1, 0),
            "not_done": (self.token, "Succeeded", PROTECTED, 0),
        }

    def _start(self, log, *arguments):
        with open(f"{self.folder.name}/{log}", "w") as file:
            process = subprocess.Popen([self.binary, *arguments], cwd=self.folder.name, stdout=file, stderr=file)
        self.processes.append(process)

    def _wait_until_ready(self):
        for _ in range(300):
            if any(process.poll() is not None for process in self.processes):
                raise SystemExit("the bridge or the simulator ended: " + self.log())
            try:
                if answer_of(f"{self.bridge}/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("the bridge did not become ready: " + self.log())

    def log(self):
        return pathlib.Path(self.folder.name, "bridge.log").read_text()

    def _token(self, name, *arguments):
        command = [self.binary, "token", "create", "--name", name, *arguments]
        return subprocess.run(command, cwd=self.folder.name, check=True, capture_output=True, text=True).stdout.strip()

    def action(self, action_id):
        """Returns an action with all that the bridge knows of it."""
        headers = {"Authorization": f"Bearer {self.reader}"}
        status, _, said = answer_of(urllib.request.Request(f"{self.bridge}/v1/actions/{action_id}", headers=headers))
        assert status == 200, said
        return said

    def calls(self, device):
        """Returns how often Defender was asked to stop and quarantine on a device."""
        calls = answer_of(f"{self.simulator}/simulator/calls")[2]["calls"]
        return sum(call["method"] == "POST" and f"/machines/{device}/StopAndQuarantineFile" in call["path"] for call in calls)


class Front:
    """A proxy before the bridge. What it is told to `play` it answers itself, in turn, before it passes anything on."""

    def __init__(self):
        self.behind = None
        # Each is (status, headers, body), or seconds to say nothing before it hangs up, or what does it.
        self.plays = []
        # What is played when the list is empty, until it is None again.
        self.always = None
        # What is played as soon as a request for an action was passed on.
        self.after_post = []
        # Headers of requests that are not passed on.
        self.without = []
        # What came: (method, path, headers, body), and the status that it was answered.
        self.seen = []
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                play = front.plays.pop(0) if front.plays else front.always
                if isinstance(play, (int, float)):
                    front.seen.append((self.command, self.path, self.headers, body, None))
                    time.sleep(play)
                    return
                if callable(play):
                    front.seen.append((self.command, self.path, self.headers, body, None))
                    play(self)
                    return
                status, headers, text = play or self._pass_on(body)
                if self.command == "POST" and not play:
                    front.plays, front.after_post = front.plays + front.after_post, []
                front.seen.append((self.command, self.path, self.headers, body, status))
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    # Who asked has not waited.
                    pass

            def _pass_on(self, body):
                hop = ("host", "connection", "content-length", "accept-encoding", *front.without)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
                data = body if self.command == "POST" else None
                request = urllib.request.Request(front.behind + self.path, data, headers, method=self.command)
                try:
                    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=90)
                except urllib.error.HTTPError as error:
                    answer = error
                with answer:
                    kept = {n: v for n, v in answer.headers.items() if n.lower() not in ("content-length", "connection")}
                    return answer.status, kept, answer.read()

            do_GET = do_POST = _any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def forget(self):
        self.plays, self.always, self.after_post, self.seen = [], None, [], []

    def posts(self):
        """Returns the headers and bodies of all requests for an action that came."""
        return [(headers, body) for method, path, headers, body, _ in self.seen if method == "POST" and path == "/v1/actions"]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def drip(handler):
    """Answers a byte at a time, for 3 seconds."""
    handler.send_response(200)
    handler.send_header("Content-Length", "30")
    handler.end_headers()
    try:
        for _ in range(30):
            handler.wfile.write(b" ")
            time.sleep(0.1)
    except OSError:
        # Who asked has not waited.
        pass


def problem(status, code, detail, **headers):
    """Returns an answer of the bridge's form, to be played."""
    said = {"type": f"urn:quarantine-bridge:problem:{code}", "title": "No.", "status": status, "detail": detail}
    return status, {"Content-Type": "application/problem+json", **headers}, json.dumps(said).encode()


# What a load balancer says when it finds nothing behind it, and a gateway that wants a log-in.
BAD_GATEWAY = (502, {"Content-Type": "text/html"}, b"<html><body><h1>502 Bad Gateway</h1></body></html>")
LOG_IN_PAGE = (200, {"Content-Type": "text/html"}, b"<html><body>Please log in.</body></html>")
OTHER_JSON = (200, {"Content-Type": "application/json"}, b'{"id": 7, "state": {"name": "ok"}}')
ELSEWHERE = (307, {"Location": "http://127.0.0.1:9/v1/actions"}, b"")
STILL_RUNNING = problem(409, "still-running", "Another request under the same Idempotency-Key is being answered.")
OVER_QUOTA = problem(429, "over-quota", "The source's quota is used up.", **{"Retry-After": "7"})
UNAVAILABLE = problem(503, "store-unavailable", "Nothing was stored. Send it again later.", **{"Retry-After": "5"})
