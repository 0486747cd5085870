"""Runs Prometheus for real, with the configuration and the rules of deploy/, against a bridge that gets an alert.

    prometheus.py BINARY FOLDER

Rules must be evaluated without an error, and each query of the dashboards answered; some must have data.
"""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests"))

from rehearsal import Failed, Rehearsal, answers, free_port, now, wait_until  # noqa: E402

# Panels that one alert must give data to.
WITH_DATA = {"Up", "Kill switch", "Sending", "Blast radius", "Configuration", "Deliveries", "Decisions", "Unfinished actions", "Version",
             "Requests", "Time to answer a delivery", "Audit", "Token ends in", "Last believed", "Keys in use", "Configuration loaded"}


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
    (target,) = wait_until(lambda: [it for it in ask(port, "targets")["activeTargets"] if it["health"] == "up"], "the target is up", seconds=40)
    assert target["labels"]["job"] == "quarantine-bridge"

    def evaluated():
        rules = [rule for group in ask(port, "rules")["groups"] for rule in group["rules"]]
        assert not [rule for rule in rules if rule["health"] == "err"], [rule for rule in rules if rule["health"] == "err"]
        return rules if rules and all(rule["health"] == "ok" for rule in rules) else None

    rules = wait_until(evaluated, "all rules are evaluated", seconds=40)
    known = len(re.findall(r"^ *- alert:", (ROOT / "deploy/prometheus/rules.yaml").read_text(), re.M))
    assert len(rules) == known, f"{len(rules)} rules of {known} are loaded"

    def filled():
        return {title for title, query in panels() if ask(port, "query", query=query)["result"]}

    queries = list(panels())
    strange = WITH_DATA - {title for title, _ in queries}
    assert not strange, f"no dashboard has {strange}"
    try:
        wait_until(lambda: WITH_DATA <= filled(), "data", seconds=40)
    except Failed:
        raise AssertionError(f"no data for {sorted(WITH_DATA - filled())}") from None
    print(f"Prometheus: {len(rules)} rules evaluated, {len(queries)} queries answered, {len(filled())} panels have data")


def configured(bridge, token):
    """The configuration of deploy/compose, for this machine and a shorter test."""
    text = (ROOT / "deploy/compose/prometheus.yaml").read_text()
    for old, new in (("15s", "1s"), ("- rules.yaml", f"- {ROOT}/deploy/prometheus/rules.yaml"),
                     ("bridge:8420", bridge.url.removeprefix("http://")), ("/run/secrets/metrics-token", str(token))):
        assert old in text, f"prometheus.yaml has no {old}"
        text = text.replace(old, new)
    return text


def main():
    binary, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    alert = {"alert_id": "one", "severity": "high", "title": "Malware", "occurred_at": now(),
             "targets": [{"machine": {"id": "0123456789abcdef" * 2 + "01234567"}, "file": {"sha1": "fedcba9876543210" * 2 + "fedcba98", "name": "a.dll"}}]}
    with Rehearsal(binary) as bridge:
        bridge.secret_file("metrics-token", bridge.token("prometheus", ["metrics"]))
        bridge.deliver("soc", json.dumps(alert).encode())
        (folder / "prometheus.yaml").write_text(configured(bridge, bridge.folder / "metrics-token"))
        port = free_port()
        with (folder / "prometheus.log").open("w") as log:
            prometheus = subprocess.Popen(["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
                                           f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), "Prometheus answers", seconds=40)
            check(port)
        finally:
            prometheus.terminate()
            prometheus.wait(timeout=60)


main()
