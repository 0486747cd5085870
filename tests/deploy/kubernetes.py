"""Holds the manifests to Kubernetes' schemas, to the level `restricted`, to each other, and to the alert rules.

    kubernetes.py BINARY
    UPDATE=1 kubernetes.py BINARY    writes prometheus-rule.yaml anew
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
VERSION = "1.29"
RULE = FOLDER / "monitoring/prometheus-rule.yaml"
HEAD = """# deploy/prometheus/rules.yaml as the operator wants it; written by `UPDATE=1 tests/deploy/kubernetes.py`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: quarantine-bridge
  namespace: quarantine-bridge
spec:
"""


def prometheus_rule():
    rules = (ROOT / "deploy/prometheus/rules.yaml").read_text()
    rules = rules[rules.index("groups:"):]
    return HEAD + "".join(f"  {line}\n" if line else "\n" for line in rules.splitlines())


def listed(folder):
    """The resources of a kustomization; each file must be in it, and each that is in it must be there."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    names = set(kustomization["resources"])
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert names == there, f"{folder.name}: {names ^ there} is not both listed and there"
    for generator in kustomization.get("configMapGenerator", []):
        for file in generator["files"]:
            assert (folder / file).is_file(), f"{file} is not there"
    return [document for name in sorted(names) for document in yaml.safe_load_all((folder / name).read_text())]


def one(documents, kind, name="quarantine-bridge"):
    found = [it for it in documents if it["kind"] == kind and it["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def check_pod(pod):
    """What the level `restricted` asks, and more."""
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] > 10000
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        assert forbidden not in pod
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert "env" not in container and "envFrom" not in container, "secrets are files"
    assert "memory" in container["resources"]["limits"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in [port["name"] for port in container["ports"]]
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= {"configMap", "secret"}, f"{volume} is no file of the configuration"
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] & 0o007 == 0, "everybody may read a secret"
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]} | {"state"}
    writable = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["state"], f"{writable} may be written"


def check_base(documents, binary):
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
        assert document["kind"] != "Secret", "a secret has no place here"
    labels = one(documents, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    state = one(documents, "StatefulSet")["spec"]
    assert state["replicas"] == 1, "there is one database"
    (claim,) = state["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert "file" not in claim["spec"].get("storageClassName", ""), "a block volume is needed"
    pod = state["template"]
    check_pod(pod["spec"])

    # All that selects the pod does.
    mine = pod["metadata"]["labels"]
    service = one(documents, "Service")
    for selector in (
        state["selector"]["matchLabels"],
        service["spec"]["selector"],
        one(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= mine.items(), f"{selector} does not select the pod"
    assert one(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1, "nodes could not be drained"

    deny = one(documents, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policy = one(documents, "NetworkPolicy")["spec"]
    ports = sorted((port["protocol"], port["port"]) for rule in policy["egress"] for port in rule["ports"])
    assert ports == [("TCP", 53), ("TCP", 443), ("UDP", 53)], ports
    assert all(rule["from"] for rule in policy["ingress"]), "everybody may reach it"
    check_configuration(pod["spec"], binary)


def check_configuration(pod, binary):
    """The program takes the configuration, with each file where the pod has it."""
    text = (FOLDER / "base/quarantine-bridge.toml").read_text()
    (container,) = pod["containers"]
    folders = [mount["mountPath"] for mount in container["volumeMounts"]]
    with tempfile.TemporaryDirectory() as folder:
        for path in re.findall(r'"(/[^"]+)"', text):
            assert any(path.startswith(mounted + "/") for mounted in folders), f"{path} is not mounted"
        for mounted in folders:
            Path(folder + mounted).mkdir(parents=True)
            text = text.replace(f'"{mounted}/', f'"{folder}{mounted}/')
        os.umask(0o077)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=bridge", "-days", "30", "-keyout", f"{folder}/run/secrets/tls/tls.key",
                        "-out", f"{folder}/run/secrets/tls/tls.crt"], check=True, capture_output=True)
        for secret in re.findall(r'quarantine-bridge/([\w-]+-secret)"', text):
            Path(f"{folder}/run/secrets/quarantine-bridge/{secret}").write_text("whsec_" + "MDEy" * 12 + "\n")
        config = Path(f"{folder}/etc/quarantine-bridge/quarantine-bridge.toml")
        config.write_text(text)
        subprocess.run([binary, "check", "--config", config], check=True)


def check_monitoring(documents, base):
    service = one(base, "Service")
    monitor = one(documents, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    # The operator names the job after the service.
    job = f'job="{service["metadata"]["name"]}"'
    assert job in (ROOT / "deploy/prometheus/rules.yaml").read_text()
    assert RULE.read_text() == prometheus_rule(), "prometheus-rule.yaml differs from rules.yaml: UPDATE=1 writes it"


if os.environ.get("UPDATE"):
    RULE.write_text(prometheus_rule())
base = listed(FOLDER / "base")
check_base(base, sys.argv[1])
check_monitoring(listed(FOLDER / "monitoring"), base)
print(f"{len(base)} manifests of Kubernetes {VERSION}: right")
