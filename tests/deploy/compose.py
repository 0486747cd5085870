"""Looks at what compose.yaml mounts and at how its containers are fenced in; reads the configuration with the program.

    compose.py BINARY
"""

import ipaddress
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy/compose"
compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())

for name, service in compose["services"].items():
    assert service["cap_drop"] == ["ALL"], f"{name} keeps capabilities"
    assert "no-new-privileges:true" in service["security_opt"], f"{name} may gain rights"
    assert ":latest" not in service["image"], f"{name} has no version"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name} is published to the network: {port}"
    for mount in service["volumes"]:
        source, _, rest = mount.partition(":")
        if source.startswith("."):
            assert (FOLDER / source).exists(), f"{name} mounts {source}, which is not there"
            assert rest.endswith(":ro"), f"{name} may write {source}"
        else:
            assert source in compose["volumes"], f"{name} mounts the unknown volume {source}"
assert compose["services"]["bridge"]["read_only"] is True

config = (FOLDER / "etc/quarantine-bridge.toml").read_text()
gateway = compose["networks"]["inside"]["ipam"]["config"][0]["gateway"]
assert re.search(r'trusted_proxies = \["([^"]+)"\]', config)[1] == gateway, "the gateway is not trusted"
ipaddress.ip_address(gateway)

# The program takes the configuration as it is, but for the folder.
with tempfile.TemporaryDirectory() as folder:
    for secret in ("defender-secret", "soc-secret"):
        text = "whsec_" + "MDEy" * 12 + "\n"
        fd = os.open(f"{folder}/{secret}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, text.encode())
        os.close(fd)
    moved = config.replace("/etc/quarantine-bridge/", f"{folder}/").replace("/var/lib/quarantine-bridge/", f"{folder}/")
    Path(folder, "quarantine-bridge.toml").write_text(moved)
    subprocess.run([sys.argv[1], "check", "--config", f"{folder}/quarantine-bridge.toml"], check=True)
print("compose.yaml: fenced in, and its configuration is taken")
