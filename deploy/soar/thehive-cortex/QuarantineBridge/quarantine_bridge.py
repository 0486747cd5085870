#!/usr/bin/env python3
"""Cortex responder: asks quarantine-bridge to have Defender stop and quarantine the file of an observable.

The observable is a hash or a file. Its tag `machine-id:` with Defender's id, or `machine:` with a name, says on which device;
without one, or with two, nothing is asked for.
"""

import quarantine_bridge_client as client
from cortexutils.responder import Responder

# Seconds that the first answer may wait for the outcome.
WAIT = 20
# What is no failure of the responder: that a person must decide, or that a device has not answered yet.
GOES_WELL = ("succeeded", "held", "pending")
SEVERITIES = {1: "low", 2: "medium", 3: "high", 4: "critical"}
MACHINE_TAGS = ("machine-id:", "machine:")


class QuarantineBridge(Responder):
    """One run for one observable."""

    def __init__(self, job_directory=None):
        # What an error gives back is the input without these members of its configuration.
        super().__init__(job_directory, secret_phrases=("key", "password", "secret", "token"))
        self.outcome = None

    def run(self):
        """Asks, waits, and tells the outcome."""
        super().run()
        try:
            standing = self._quarantine()
        except (client.Misconfigured, client.Refused, client.Away) as error:
            self.error(f"quarantine-bridge: {error}")
            return
        self.outcome = standing.outcome
        message = f"{standing.outcome}: {standing.sentence} Action {standing.action_id} of quarantine-bridge."
        if standing.outcome in GOES_WELL:
            self.report({**standing.facts(), "message": message})
        else:
            self.error(message)

    def operations(self, raw):
        """Returns the tag that the observable gets."""
        return [self.build_operation("AddTagToArtifact", tag=f"quarantine-bridge:{self.outcome}")]

    def _quarantine(self):
        bridge = client.Bridge(
            self.get_param("config.url"),
            self.get_param("config.api_key"),
            verify=self.get_param("config.verify", True),
        )
        case = str(self.get_param("data.case._id") or self.get_param("data.case.id") or self.get_param("data.case.caseId") or "")
        observable = str(self.get_param("data._id") or self.get_param("data.id") or "")
        if not case:
            raise client.Misconfigured("the observable belongs to no case")
        wanted = client.wanted_action(
            f"thehive-case-{case}",
            SEVERITIES.get(self.get_param("data.case.severity"), ""),
            # The observable's own time: that of the case can be edited, and another time makes another request.
            self.get_param("data.startDate") or self.get_param("data.createdAt") or self.get_param("data._createdAt"),
            machine_of(self.get_param("data.tags") or []),
            self._file(),
            title=self.get_param("data.case.title"),
            mode=self.get_param("config.mode"),
            note=f"TheHive case {self.get_param('data.case.caseId')}, observable {observable}",
        )
        # The case, the observable, and what it is about: a responder that runs again asks for the same.
        key = client.idempotency_key("thehive", case, observable, wanted["machine"], wanted["file"])
        return bridge.follow(bridge.ask(wanted, key, WAIT), float(self.get_param("config.wait") or 300))

    def _file(self):
        kind = self.get_param("data.dataType")
        if kind == "hash":
            return client.file_entity(self.get_param("data.data"))
        if kind == "file":
            hashes = [text for text in self.get_param("data.attachment.hashes") or [] if len(text) == 40]
            return client.file_entity(",".join(hashes), self.get_param("data.attachment.name"))
        raise client.Misconfigured(f"an observable of the type {kind} is no file: run it on a hash or a file")


def machine_of(tags):
    """Returns the one device that the tags name."""
    found = {tag[len(prefix):].strip().lower() for tag in tags for prefix in MACHINE_TAGS if tag.lower().startswith(prefix)}
    if len(found) != 1:
        what = ", ".join(sorted(found)) or "none"
        raise client.Misconfigured(f"exactly one tag machine-id: or machine: must say on which device; found: {what}")
    return found.pop()


if __name__ == "__main__":
    QuarantineBridge().run()
