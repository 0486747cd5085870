"""The Cortex responder, with the real cortexutils."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from datetime import datetime

import kits
import scenarios
from scenarios import Case, Result
from stage import SHA1

FOLDER = kits.SOAR / "thehive-cortex/QuarantineBridge"


class TheHive:
    """TheHive and Cortex around the responder."""

    goes_well = {"succeeded", "held"}
    wait = 20
    # A responder has no test of its connection, and none asks how an action stands.
    test = None

    def __init__(self, checks):
        self.checks = checks
        self.definition = json.loads((FOLDER / "QuarantineBridge_QuarantineFile.json").read_text())
        self.responder = kits.load_folder(FOLDER, "quarantine_bridge")
        self.client = self.responder.client

    def look(self, *_):
        return None

    def observable(self, of, **changes):
        """Returns an observable as TheHive hands it to a responder."""
        milliseconds = int(datetime.fromisoformat(of.occurred_at.replace("Z", "+00:00")).timestamp() * 1000)
        severity = {"low": 1, "medium": 2, "high": 3, "critical": 4}[of.severity]
        tag = ("machine-id:" if re.fullmatch("[0-9a-f]{40}", of.machine) else "machine:") + of.machine
        return {"_id": "~777", "id": "~777", "dataType": "hash", "data": of.file_hash, "tags": ["malware", tag],
                "startDate": milliseconds, "case": {"_id": of.incident, "caseId": 12, "title": "Malware", "severity": severity}, **changes}

    def job(self, url, token, observable):
        """Writes a job as Cortex does; returns its folder."""
        config = {"url": url, "api_key": token, "mode": "enforce", "wait": self.patience, "verify": True, "check_tlp": True, "max_tlp": 3}
        listed = {item["name"] for item in self.definition["configurationItems"]}
        self.checks.holds("the responder is configured as listed", set(config) - {"check_tlp", "max_tlp"} == listed)
        folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(folder.name, "input")
        path.mkdir()
        given = {"dataType": "thehive:case_artifact", "data": observable, "tlp": 2, "pap": 2, "config": config}
        (path / "input.json").write_text(json.dumps(given))
        return folder

    def result(self, folder, token):
        text = pathlib.Path(folder.name, "output/output.json").read_text()
        self.checks.holds("the token is not in the report", token not in text, text)
        output = json.loads(text)
        message = output["full"]["message"] if output["success"] else output["errorMessage"]
        found = re.match(r"(\w+): .* Action ([0-9a-f-]{36}) of", message)
        if output["success"]:
            tags = [operation["tag"] for operation in output["operations"] if operation["type"] == "AddTagToArtifact"]
            self.checks.holds("the observable is told the outcome", tags == [f"quarantine-bridge:{output['full']['outcome']}"], output)
        return Result(output["success"], message, *(found.groups() if found else ()))

    def run(self, url, token, observable):
        folder = self.job(url, token, observable)
        try:
            self.responder.QuarantineBridge(job_directory=folder.name).run()
        except SystemExit:
            pass
        return self.result(folder, token)

    def ask(self, url, token, case):
        return self.run(url, token, self.observable(case))


def which_device(stage, hive, checks):
    stage.front.forget()
    case = Case(stage.machine())
    for name, changes in (
        ("no device", {"tags": ["malware"]}),
        ("two devices", {"tags": ["machine-id:" + case.machine, "machine:ws-2"]}),
        ("no file", {"dataType": "domain", "data": "corp.example"}),
        ("no case", {"case": {}}),
    ):
        result = hive.run(stage.url, stage.token, hive.observable(case, **changes))
        checks.holds(f"{name}: nothing is asked for", not result.is_ok and not stage.front.seen, result)
    attachment = {"name": "evil.dll", "hashes": ["0" * 64, SHA1, "0" * 32]}
    result = hive.run(stage.url, stage.approve_token, hive.observable(case, dataType="file", data=None, attachment=attachment))
    file = stage.action(result.action_id)["file"]
    checks.holds("a file goes by the SHA1 that TheHive took", (file["sha1"], file["name"]) == (SHA1, "evil.dll"), file)


def as_cortex_runs_it(stage, hive, checks):
    """Once in a process of its own, by the command of the definition."""
    with hive.job(stage.url, stage.approve_token, hive.observable(Case(stage.machine()))) as folder:
        command = FOLDER.parent / hive.definition["command"]
        ran = subprocess.run([sys.executable, "-B", command, folder], capture_output=True, text=True)
        output = json.loads(pathlib.Path(folder, "output/output.json").read_text())
        checks.holds("Cortex runs it", ran.returncode == 0 and output["success"] and output["full"]["outcome"] == "held", ran, output)
    checks.holds("the command can be run", command.stat().st_mode & 0o111)
    checks.holds("it belongs to its folder", hive.definition["command"].split("/")[0] == FOLDER.name == hive.definition["baseConfig"])


def run(stage, checks):
    hive = TheHive(checks)
    scenarios.all_of(stage, hive, checks)
    which_device(stage, hive, checks)
    as_cortex_runs_it(stage, hive, checks)
