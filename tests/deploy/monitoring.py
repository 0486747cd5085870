"""Holds alert rules, their tests, runbooks and dashboards to each other and to what the program has.

    monitoring.py BINARY QUERIES

QUERIES is written: the dashboards' queries as rules, for promtool to read them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "QuarantineBridge"
SECTIONS = ["## See", "## Do", "## Over"]
# What Prometheus itself puts on a series.
LABELS_OF_PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate", "severity"}

wrong = []


def complain(where, what):
    wrong.append(f"{where}: {what}")


def source():
    return "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.rs")))


def known_metrics():
    """The names of src/telemetry, and those of the series that a histogram has."""
    table = "\n".join(path.read_text() for path in sorted((ROOT / "src/telemetry").rglob("*.rs")))
    names = set(re.findall(r'\b(?:counter|gauge)\(\s*"(quarantine_bridge_\w+)"', table))
    for name in re.findall(r'\bhistogram\(\s*"(quarantine_bridge_\w+)"', table):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    assert len(names) > 40, "the table of metrics was not found"
    return names


def check_query(where, query, metrics, code):
    """Each metric, each label and each value that a query names must be one that the program has."""
    for name in re.findall(r"quarantine_bridge_\w+", query):
        if name not in metrics:
            complain(where, f"there is no metric {name}")
    for selector in re.findall(r"\{([^{}]*)\}", query):
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', selector):
            if label in LABELS_OF_PROMETHEUS:
                continue
            if f'("{label}"' not in code:
                complain(where, f"there is no label {label}")
            for word in value.split("|") if "~" in operator else [value]:
                if not (word.startswith("$") or f'"{word}"' in code or word.isdigit()):
                    complain(where, f"{label} is never {word}")
    for labels in re.findall(r"\b(?:by|on|without)\s*\(([^()]*)\)", query):
        for label in re.findall(r"\w+", labels):
            if label not in LABELS_OF_PROMETHEUS and f'("{label}"' not in code:
                complain(where, f"there is no label {label}")


def alerts():
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def page_of(alert):
    return re.sub(r"(?<!^)([A-Z])", r"-\1", alert.removeprefix(PREFIX)).lower()


def check_rules(metrics, code):
    tests = (ROOT / "deploy/prometheus/rules_test.yaml").read_text()
    for rule in alerts():
        name, severity = rule["alert"], rule["labels"]["severity"]
        check_query(name, rule["expr"], metrics, code)
        if not name.startswith(PREFIX):
            complain(name, f"does not begin with {PREFIX}")
        url = f"https://docs.example/quarantine-bridge/runbooks/{page_of(name)}.html"
        if rule["annotations"].get("runbook_url") != url:
            complain(name, f"its runbook_url must be {url}")
        for annotation in ("summary", "description"):
            if annotation not in rule["annotations"]:
                complain(name, f"has no {annotation}")
        if f'alertname="{name}",severity="{severity}"' not in tests:
            complain(name, f"no test in rules_test.yaml shows that it fires with severity {severity}")


def check_runbooks(binary):
    folder = ROOT / "docs/runbooks"
    index = (folder / "README.md").read_text()
    pages = {page_of(rule["alert"]): rule["alert"] for rule in alerts()}
    there = {path.stem for path in folder.glob("*.md")} - {"README"}
    for page in sorted(set(pages) ^ there):
        complain(f"docs/runbooks/{page}.md", "is missing" if page in pages else "belongs to no alert")
    for page in sorted(set(pages) & there):
        where, text = f"docs/runbooks/{page}.md", (folder / f"{page}.md").read_text()
        if not text.startswith(f"# {pages[page]}\n"):
            complain(where, f"its title must be {pages[page]}")
        found = re.findall(r"^## .*", text, re.M)
        if found != SECTIONS:
            complain(where, f"has {found}, not {SECTIONS}")
        if f"| {pages[page]} | [{page}]({page}.md) |" not in index:
            complain(where, "is not in the table of README.md")
    routes = re.findall(r"^  (/\S+):", (ROOT / "openapi.yaml").read_text(), re.M)
    for path in sorted(folder.glob("*.md")):
        check_commands(path, binary)
        check_addresses(path, routes)
        check_links(path)


def check_commands(path, binary):
    """Each command that is shown is one, and takes the options that are shown."""
    for line in re.findall(r"quarantine-bridge ([a-z][a-z-]*(?: [a-z-]+)?(?: [^`\n)]*)?)", commands_of(path.read_text())):
        words = line.split()
        verbs = [word for word in words[:2] if re.fullmatch(r"[a-z][a-z-]*", word)]
        said = subprocess.run([binary, *verbs, "--help"], capture_output=True, text=True)
        if said.returncode and len(verbs) == 2:
            said = subprocess.run([binary, verbs[0], "--help"], capture_output=True, text=True)
        if said.returncode:
            complain(path.name, f"quarantine-bridge {line}: is no command")
        for option in re.findall(r"(?<=\s)--[a-z-]+", line):
            if f"{option} " not in said.stdout and f"{option}\n" not in said.stdout:
                complain(path.name, f"quarantine-bridge {' '.join(verbs)}: takes no {option}")


def commands_of(text):
    """What stands in blocks and between backquotes; units and paths are not commands."""
    blocks = re.findall(r"^    (.*)$", text, re.M) + re.findall(r"`([^`]+)`", text)
    spoken = "\n".join(block for block in blocks)
    return re.sub(r"(?:-u|-n|restart|status|-g) quarantine-bridge\S*(?: quarantine-bridge-0)?", "", spoken)


def check_addresses(path, routes):
    shapes = [re.sub(r"\{\w+\}", "[^/]+", route) for route in routes]
    for address in re.findall(r"(?:\$BRIDGE|(?:GET|POST) )(/[\w/.-]+)", path.read_text()):
        if not any(re.fullmatch(shape, address) for shape in shapes):
            complain(path.name, f"{address} is not in openapi.yaml")


def check_links(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        if not (path.parent / target).exists():
            complain(path.name, f"links to {target}, which is not there")


def queries_of(panel):
    return [target["expr"] for target in panel.get("targets", [])]


def dashboards():
    return sorted((ROOT / "deploy/grafana").glob("**/*.json"))


def check_dashboards(metrics, code, queries_file):
    """The queries are held to the metrics, and written as rules so that promtool reads them."""
    rules = []
    assert dashboards(), "there are no dashboards"
    for path in dashboards():
        board = json.loads(path.read_text())
        ids = [panel["id"] for panel in board["panels"]]
        if len(ids) != len(set(ids)):
            complain(path.name, "two panels have one id")
        for variable in board["templating"]["list"]:
            check_query(f"{path.name}, {variable['name']}", str(variable["query"]), metrics, code)
        for panel in board["panels"]:
            where = f"{path.name}, {panel['title']}"
            queries = queries_of(panel)
            if panel["type"] != "row" and not queries:
                complain(where, "has no query")
            for query in queries:
                check_query(where, query, metrics, code)
                plain = re.sub(r"\$__(?:rate_interval|range|interval)", "5m", query)
                rules.append({"record": f"panel_{len(rules)}", "expr": re.sub(r"\$\w+", ".*", plain)})
    queries_file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))


def main():
    binary, queries_file = sys.argv[1], Path(sys.argv[2])
    code = source()
    metrics = known_metrics()
    check_rules(metrics, code)
    check_runbooks(binary)
    check_dashboards(metrics, code, queries_file)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(alerts())} rules, {len(dashboards())} dashboards, {len(wrong)} complaints")
    sys.exit(bool(wrong))


main()
