"""Runs Prometheus for real, with the configuration and the rules of deploy/, against a bridge that gets an alert.

    prometheus.py BINARY FOLDER

Rules must be evaluated without an error, and each query of the dashboards answered; some must have data.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """[server]
listen = "127.0.0.1:{bridge}"
[store]
path = "bridge.db"
[defender]
tenant_id = "00000000-0000-4000-8000-000000000001"
client_id = "00000000-0000-4000-8000-000000000002"
client_secret = {{ file = "defender-secret" }}
api_url = "http://127.0.0.1:{defender}"
login_url = "http://127.0.0.1:{defender}"
allow_custom_endpoint = true
[sources.soc]
format = "bridge"
mode = "enforce"
[sources.soc.auth]
scheme = "standard-webhooks"
secrets = [{{ file = "soc-secret" }}]
"""
# Panels that one alert must give data to.
WITH_DATA = {"Up", "Kill switch", "Sending", "Blast radius", "Configuration", "Deliveries", "Decisions", "Unfinished actions", "Version",
             "Requests", "Time to answer a delivery", "Audit", "Token ends in", "Last believed", "Keys in use", "Configuration loaded"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, condition, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


def ask(port, path, **query):
    address = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as wrong:
        raise AssertionError(f"{query}: {wrong.read().decode()}") from None


def panels():
    for path in sorted((ROOT / "deploy/grafana").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                query = re.sub(r"\$__(?:rate_interval|range|interval)", "1m", target["expr"]).replace("$job", "quarantine-bridge")
                yield panel["title"], re.sub(r"\$\w+", ".*", query)


def check(port):
    (target,) = until("the target is up", lambda: [it for it in ask(port, "targets")["activeTargets"] if it["health"] == "up"])
    assert target["labels"]["job"] == "quarantine-bridge"

    def evaluated():
        rules = [rule for group in ask(port, "rules")["groups"] for rule in group["rules"]]
        assert not [rule for rule in rules if rule["health"] == "err"], [rule for rule in rules if rule["health"] == "err"]
        return rules if rules and all(rule["health"] == "ok" for rule in rules) else None

    rules = until("all rules are evaluated", evaluated)
    known = len(re.findall(r"^ *- alert:", (ROOT / "deploy/prometheus/rules.yaml").read_text(), re.M))
    assert len(rules) == known, f"{len(rules)} rules of {known} are loaded"

    def filled():
        return {title for title, query in panels() if ask(port, "query", query=query)["result"]}

    queries = list(panels())
    strange = WITH_DATA - {title for title, _ in queries}
    assert not strange, f"no dashboard has {strange}"
    try:
        until("data", lambda: WITH_DATA <= filled())
    except AssertionError:
        raise AssertionError(f"no data for {sorted(WITH_DATA - filled())}") from None
    print(f"Prometheus: {len(rules)} rules evaluated, {len(queries)} queries answered, {len(filled())} panels have data")


def main():
    binary, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    bridge, defender, prometheus = free_port(), free_port(), free_port()
    started = []

    def put(name, text):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)

    def start(*command):
        log = (folder / f"{Path(command[0]).name}-{len(started)}.log").open("w")
        started.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))

    def run(*command):
        said = subprocess.run([binary, *command], cwd=folder, capture_output=True, text=True)
        assert said.returncode == 0, f"{command[0]}: {said.stdout}{said.stderr}"
        return said.stdout

    put("soc-secret", "whsec_" + "MDEy" * 12)
    put("defender-secret", "simulated-secret")
    put("quarantine-bridge.toml", CONFIG.format(bridge=bridge, defender=defender))
    try:
        start(binary, "simulate", "--port", str(defender))
        start(binary, "serve")
        until("the bridge is ready", lambda: urllib.request.urlopen(f"http://127.0.0.1:{bridge}/readyz", timeout=5))
        put("token", json.loads(run("token", "create", "--name", "prometheus", "--scope", "metrics", "--json"))["token"])
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        put("alert.json", json.dumps({"alert_id": "one", "severity": "high", "title": "Malware", "occurred_at": now,
                                      "targets": [{"machine": {"id": "0123456789abcdef" * 2 + "01234567"}, "file": {"sha1": "fedcba9876543210" * 2 + "fedcba98", "name": "a.dll"}}]}))
        run("send", "--secret-file", "soc-secret", "--url", f"http://127.0.0.1:{bridge}/v1/hooks/soc", "alert.json")

        text = (ROOT / "deploy/compose/prometheus.yaml").read_text()
        for old, new in (("15s", "1s"), ("- rules.yaml", f"- {ROOT}/deploy/prometheus/rules.yaml"), ("bridge:8420", f"127.0.0.1:{bridge}"),
                         ("/run/secrets/metrics-token", str(folder / "token"))):
            assert old in text, f"prometheus.yaml has no {old}"
            text = text.replace(old, new)
        put("prometheus.yaml", text)
        start("prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{prometheus}")
        until("Prometheus answers", lambda: urllib.request.urlopen(f"http://127.0.0.1:{prometheus}/-/ready", timeout=5))
        check(prometheus)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=60)


main()
