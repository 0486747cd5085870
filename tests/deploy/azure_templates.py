"""Holds the templates for Azure to each other, to the README, to the provider's schema, and to what cloud-init and the program take.

    azure_templates.py BINARY PROVIDER FOLDER

PROVIDER is the wheel cdktf-cdktf-provider-azurerm, which has the schema of Terraform's provider. FOLDER gets the machine's scripts.
"""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import hcl2
import tree_sitter
import tree_sitter_bicep
import yaml

ROOT = Path(__file__).resolve().parents[2]
AZURE = ROOT / "deploy/azure"
BICEP = (AZURE / "main.bicep").read_text()
TERRAFORM = AZURE / "terraform"
README = (AZURE / "README.md").read_text()
# Azure takes no more.
CUSTOM_DATA = 65535
# What must stand in both: a slip in one of them is a hole that only that one has.
BOTH = [
    ("a key, no password", "disablePasswordAuthentication: true", r"disable_password_authentication\s+= true"),
    ("secure boot", "secureBootEnabled: true", r"secure_boot_enabled\s+= true"),
    ("a virtual TPM", "vTpmEnabled: true", r"vtpm_enabled\s+= true"),
    ("encryption at host", "encryptionAtHost: encryptionAtHost", r"encryption_at_host_enabled\s+= var.encryption_at_host"),
    ("Debian 12", "sku: '12-gen2'", r'sku\s+= "12-gen2"'),
    ("the identity", "type: 'UserAssigned'", r'type\s+= "UserAssigned"'),
    ("Premium SSD", r"sku: \{ name: 'Premium_LRS' \}", r'storage_account_type\s+= "Premium_LRS"'),
    ("no cache", "caching: 'None'", r'caching\s+= "None"'),
    ("the disk's number", "lun: 0", r"lun\s+= 0"),
    ("no export of the disk", "networkAccessPolicy: 'DenyAll'", r'network_access_policy\s+= "DenyAll"'),
    ("the lock", "level: 'CanNotDelete'", r'lock_level\s+= "CanNotDelete"'),
    ("the disk stays", "deleteOption: 'Detach'", r"prevent_destroy\s+= true"),
    ("who gets in", "sourceAddressPrefixes: allowedAddresses", r"source_address_prefixes\s+= var.allowed_addresses"),
    ("by which port", r"destinationPortRange: string\(port\)", r"destination_port_range\s+= tostring\(var.port\)"),
    ("nobody else", "access: 'Deny'", r'access\s+= "Deny"'),
    ("diagnostics", r"bootDiagnostics: \{ enabled: true \}", r"boot_diagnostics \{\}"),
]


def snake(name):
    return re.sub(r"([A-Z])", lambda it: "_" + it[1].lower(), name)


def check_bicep_text():
    """It parses, and each name that is used is declared."""
    language = tree_sitter.Language(tree_sitter_bicep.language())
    tree = tree_sitter.Parser(language).parse(BICEP.encode())
    nodes, pending = [], [tree.root_node]
    while pending:
        node = pending.pop()
        nodes.append(node)
        pending += node.children
    for node in nodes:
        assert node.type != "ERROR" and not node.is_missing, f"main.bicep, line {node.start_point[0] + 1}: does not parse"
    declared = set(re.findall(r"^(?:param|var|resource) (\w+)", BICEP, re.M))
    functions = {"resourceGroup", "environment", "substring", "startsWith", "replace", "loadTextContent", "base64", "join", "concat",
                 "empty", "string", "description", "allowed", "minLength", "maxLength"}
    used = set()
    for node in nodes:
        if node.type == "identifier" and node.parent.type != "object_property" and "declaration" not in node.parent.type:
            used.add(node.text.decode())
    strange = used - declared - functions
    assert not strange, f"main.bicep: {strange} is not declared"
    for name in re.findall(r"^(?:param|var) (\w+)", BICEP, re.M):
        assert len(re.findall(rf"\b{name}\b", BICEP)) > 1, f"main.bicep: {name} is never used"


def bicep_parameters():
    found = {}
    for text, name, kind, default in re.findall(
            r"^@description\('((?:[^'\\]|\\.)*)'\)\n(?:@.*\n)*param (\w+) (\w+)(?: = (.*))?$", BICEP, re.M):
        found[name] = (kind, default.strip("'") or ("" if default else None), text.replace("\\'", "'"))
    assert len(found) == len(re.findall(r"^param ", BICEP, re.M)), "a parameter has no description"
    return found


def block(pieces):
    """hcl2 gives a list of blocks with their labels as keys; names keep their quotes."""
    return {name.strip('"'): body for piece in pieces for name, body in piece.items() if not name.startswith("__")}


def terraform_parameters():
    kinds = {"string": "string", "number": "int", "bool": "bool", "list(string)": "array"}
    found = {}
    for name, body in block(hcl2.loads((TERRAFORM / "variables.tf").read_text())["variable"]).items():
        default = body.get("default")
        default = None if "default" not in body else str(default).strip('"')
        if isinstance(body.get("default"), bool):
            default = default.lower()
        found[name] = (kinds[body["type"].strip("${}\"")], default, body["description"].strip('"'))
    return found


def check_parameters():
    bicep, terraform = bicep_parameters(), terraform_parameters()
    names = {snake(name): name for name in bicep}
    assert set(names) | {"resource_group"} == set(terraform), set(names) ^ set(terraform)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .* \|$", README, re.M))
    assert set(rows) == set(bicep), f"the README's table: {set(rows) ^ set(bicep)}"
    for theirs, ours in names.items():
        kind, default, text = bicep[ours]
        if ours != "location":
            words = re.sub(r"\b(publicIp|allowedAddresses)\b", lambda it: snake(it[1]), text)
            assert (kind, default, words) == terraform[theirs], f"{ours}: {bicep[ours]}, {terraform[theirs]}"
            row = "must be stated" if default is None else f"`{default}`" if default else "empty"
            assert rows[ours] == row, f"the README says {rows[ours]} of {ours}, not {row}"
    check_commands(bicep, terraform)
    outputs = set(re.findall(r"^output (\w+)", BICEP, re.M))
    theirs = set(block(hcl2.loads((TERRAFORM / "outputs.tf").read_text())["output"]))
    assert {snake(name) for name in outputs} == theirs, outputs


def check_commands(bicep, terraform):
    """The README's commands give what must be given, and nothing that is not known."""
    shown = set(re.findall(r"\s(\w+)=", README[README.index("--parameters"):README.index("PRINCIPAL=")]))
    needed = {name for name, (_, default, _) in bicep.items() if default is None}
    assert needed <= shown <= set(bicep), f"Bicep: {needed - shown} is missing, {shown - set(bicep)} is unknown"
    shown = set(re.findall(r"-var '?(\w+)=", README))
    needed = {name for name, (_, default, _) in terraform.items() if default is None}
    assert needed <= shown <= set(terraform), f"Terraform: {needed - shown} is missing, {shown - set(terraform)} is unknown"
    for output in re.findall(r"outputs\.(\w+)\.value", README):
        assert f"output {output} " in BICEP, output
    for output in re.findall(r"terraform output -raw (\w+)", README):
        assert f'output "{output}"' in (TERRAFORM / "outputs.tf").read_text(), output


def arguments(wheel, module, name):
    """The keys of a block and which must be there, as the class of that name takes them."""
    tree = ast.parse(wheel.read(f"cdktf_cdktf_provider_azurerm/{module}/__init__.py"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.lower() == name.lower():
            (start,) = [it for it in node.body if isinstance(it, ast.FunctionDef) and it.name == "__init__"]
            return {arg.arg: default is None for arg, default in zip(start.args.kwonlyargs, start.args.kw_defaults)}
    raise AssertionError(f"the provider has no {name}")


def check_block(wheel, module, name, body, where):
    known = arguments(wheel, module, name)
    body = {key.strip('"'): value for key, value in body.items() if not key.startswith("__")}
    blocks = {key: value for key, value in body.items() if isinstance(value, list) and value and isinstance(value[0], dict)}
    dynamic = block(blocks.pop("dynamic", []))
    keys = set(body) - {"dynamic"} | set(dynamic)
    assert keys <= set(known), f"{where}: the provider does not know {keys - set(known)}"
    missing = {key for key, needed in known.items() if needed} - keys
    assert not missing, f"{where}: {missing} must be stated"
    inner = [(key, it) for key, value in blocks.items() for it in value] + [(key, it["content"][0]) for key, it in dynamic.items()]
    for key, value in inner:
        if key != "lifecycle":
            check_block(wheel, module, name + key.replace("_", ""), value, f"{where}.{key}")


def check_provider(path):
    count = 0
    with zipfile.ZipFile(path) as wheel:
        for piece in hcl2.loads((TERRAFORM / "main.tf").read_text())["resource"]:
            for kind, bodies in piece.items():
                if kind.startswith("__"):
                    continue
                kind = kind.strip('"').removeprefix("azurerm_")
                for name, body in bodies.items():
                    check_block(wheel, kind, kind.replace("_", ""), body, f"{kind}.{name}")
                    count += 1
    return count


def filled(words):
    text = (AZURE / "cloud-init.yaml").read_text()
    main = (TERRAFORM / "main.tf").read_text()
    assert set(re.findall(r"@@(\w+)@@", text)) == set(words)
    for template in (BICEP, main):
        order = re.findall(r"""['"]@@(\w+)@@['"]""", template)
        assert order == list(words), f"a template fills in {order}"
    for word, value in words.items():
        text = text.replace(f"@@{word}@@", value)
    return text


def check_cloud_init(configuration, scripts):
    whole = configuration.replace("@CLIENT_ID@", "11111111-2222-3333-4444-555555555555").replace("@CLOUD@", "commercial")
    words = {"CONFIGURATION": base64.b64encode(whole.encode()).decode(), "PACKAGE_URL": "https://files.example/bridge.deb?a=b&c=d",
             "PACKAGE_SHA256": "0" * 64, "CLIENT_ID": "11111111-2222-3333-4444-555555555555", "VAULT": "the-vault",
             "VAULT_DNS": "vault.azure.net", "SECRETS": "soc-secret=soc-secret tls.pem=tls"}
    text = filled(words)
    longest = len(text.encode()) + 40000
    assert longest < CUSTOM_DATA, f"with the longest configuration it would have {longest} bytes"
    assert text.startswith("#cloud-config\n")
    files = {it["path"]: it for it in yaml.safe_load(text)["write_files"]}
    shutil.rmtree(scripts, ignore_errors=True)
    scripts.mkdir(parents=True)
    for path, file in files.items():
        if path.startswith("/usr/local/sbin/"):
            script = scripts / Path(path).name
            script.write_text(file["content"])
            script.chmod(0o755)
    filled_in = scripts / "cloud-init.yaml"
    filled_in.write_text(text)
    said = subprocess.run(["cloud-init", "schema", "--config-file", filled_in], capture_output=True, text=True)
    assert said.returncode == 0 and "Valid" in said.stdout, said.stdout + said.stderr
    check_terraform(text, words, configuration, scripts)


def check_terraform(text, words, configuration, folder):
    """Terraform itself reads variables and locals, and fills in what this file did; the provider is not to be had here."""
    if not shutil.which("terraform"):
        print("NOT CHECKED: terraform is not on the PATH; its part is left to python-hcl2 and the provider's schema", file=sys.stderr)
        return
    module = folder / "module" / "terraform"
    module.mkdir(parents=True)
    shutil.copy(AZURE / "cloud-init.yaml", module.parent)
    shutil.copy(TERRAFORM / "variables.tf", module)
    (locals_,) = re.findall(r"^locals \{\n.*?^\}\n", (TERRAFORM / "main.tf").read_text(), re.M | re.S)
    locals_ = locals_.replace("azurerm_user_assigned_identity.bridge.client_id", f'"{words["CLIENT_ID"]}"')
    (module / "main.tf").write_text(locals_ + 'output "custom_data" {\n  value = local.custom_data\n}\n')
    given = {"resource_group": "bridge", "location": "westeurope", "subnet_id": "subnet", "ssh_public_key": "key",
             "allowed_addresses": ["10.1.0.0/16"], "package_url": words["PACKAGE_URL"], "package_sha256": words["PACKAGE_SHA256"],
             "configuration": configuration, "key_vault": words["VAULT"], "secrets": words["SECRETS"].split(" ")}
    (module / "given.auto.tfvars.json").write_text(json.dumps(given))
    # Whatever is set on this machine for Terraform has no part in it.
    os.environ["TF_CLI_CONFIG_FILE"] = os.devnull
    subprocess.run(["terraform", "fmt", "-check", "-diff", "-recursive", TERRAFORM], check=True)
    for command in (["init"], ["validate"], ["apply", "-auto-approve"]):
        subprocess.run(["terraform", f"-chdir={module}", *command], check=True, stdout=subprocess.DEVNULL)
    said = subprocess.run(["terraform", f"-chdir={module}", "output", "-raw", "custom_data"], check=True, capture_output=True, text=True)
    assert said.stdout == text, "Terraform fills in something else"


def check_configuration(binary):
    """The program takes the configuration that one begins with, with each file where the README has it brought."""
    text = (AZURE / "quarantine-bridge.toml").read_text()
    text = text.replace("@CLIENT_ID@", "11111111-2222-3333-4444-555555555555")
    brought = set(re.findall(r'"([\w.-]+)=[\w-]+"', README))
    assert set(re.findall(r'"/etc/quarantine-bridge/([\w.-]+)"', text)) == brought, brought
    for cloud in ("commercial", "gcc", "gcc-high", "dod"):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-subj", "/CN=bridge", "-days", "30", "-keyout", f"{folder}/key", "-out", f"{folder}/chain"],
                           check=True, capture_output=True)
            pem, secret, config = Path(folder, "tls.pem"), Path(folder, "soc-secret"), Path(folder, "quarantine-bridge.toml")
            pem.write_text(Path(folder, "key").read_text() + Path(folder, "chain").read_text())
            secret.write_text("whsec_" + "MDEy" * 12)
            for file in (pem, secret):
                file.chmod(0o640)
            mine = text.replace("@CLOUD@", cloud)
            for there in ("/etc/quarantine-bridge", "/var/lib/quarantine-bridge", "/run/quarantine-bridge"):
                mine = mine.replace(f'"{there}/', f'"{folder}/')
            config.write_text(mine)
            subprocess.run([binary, "check", "--config", config], check=True, stdout=subprocess.DEVNULL)


def main():
    binary, provider, scripts = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    check_bicep_text()
    main_tf = (TERRAFORM / "main.tf").read_text()
    for what, bicep, terraform in BOTH:
        assert re.search(bicep, BICEP), f"main.bicep lacks {what}: {bicep}"
        assert re.search(terraform, main_tf), f"main.tf lacks {what}: {terraform}"
    check_parameters()
    resources = check_provider(provider)
    check_cloud_init((AZURE / "quarantine-bridge.toml").read_text(), scripts)
    check_configuration(binary)
    print(f"templates for Azure: alike, {resources} resources as the provider's schema has them")


main()
