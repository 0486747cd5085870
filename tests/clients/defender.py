"""Independent clients against the simulated Defender: MSAL gets the token, plain requests do the rest. Run by .ci/run.

    python3 tests/clients/defender.py BINARY

What Microsoft's own library and Microsoft's documented calls take for Entra ID and Defender is what the bridge is rehearsed
against. MSAL talks HTTPS only, so a proxy with a certificate of its own stands before the simulator.
"""

import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

import msal
import requests

HERE = pathlib.Path(__file__).resolve().parent
# The tree stays as it is.
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))

from rehearsal import CLIENT, CLIENT_SECRET, TENANT, Failed, free_port, answers, wait_until  # noqa: E402

SCOPE = "https://api.securitycenter.microsoft.com/.default"
MACHINE = {"id": "6f1d0b7c2a94e8d35b60c1f7a8e2934d5c7b1a09", "dns_name": "ws-0147.corp.example"}
# More than this takes, in milliseconds.
LONG = 3_600_000
FILE = "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4"


class Front:
    """HTTPS before the simulator."""

    def __init__(self, folder, behind):
        self.certificate = folder / "certificate.pem"
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, "-keyout",
                        folder / "key.pem", "-out", self.certificate], check=True, capture_output=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "accept")}
                request = urllib.request.Request(behind + self.path, body or None, headers, method=self.command)
                try:
                    answer = urllib.request.urlopen(request, timeout=10)
                except urllib.error.HTTPError as error:
                    answer = error
                # The addresses that the simulator tells are those of its front.
                text = answer.read().decode().replace(behind, front).encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, folder / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = front = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def token(front, secret):
    session = requests.Session()
    session.trust_env, session.verify = False, str(front.certificate)
    application = msal.ConfidentialClientApplication(CLIENT, client_credential=secret, authority=f"{front.url}/{TENANT}",
                                                     instance_discovery=False, http_client=session)
    return application.acquire_token_for_client(scopes=[SCOPE])


def walk(simulator, front):
    refused = token(front, "wrong")
    holds("MSAL is told that a secret is wrong", refused.get("error") == "invalid_client" and 7000215 in refused["error_codes"], refused)
    given = token(front, CLIENT_SECRET)
    holds("MSAL gets a token", given.get("token_type") == "Bearer" and given["expires_in"] > 3000, given)

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {given['access_token']}"
    nobody = requests.get(f"{simulator}/api/machines/{MACHINE['id']}", timeout=10)
    holds("without it nothing is told", nobody.status_code == 401, nobody.text)

    found = session.get(f"{simulator}/api/machines", params={"$filter": f"computerDnsName eq '{MACHINE['dns_name']}'"}, timeout=10).json()
    holds("a machine is found by its name", [machine["id"] for machine in found["value"]] == [MACHINE["id"]], found)

    act = f"{simulator}/api/machines/{MACHINE['id']}/StopAndQuarantineFile"
    body = {"Comment": "by an independent client", "Sha1": FILE}
    answered = session.post(act, json=body, timeout=10)
    action = answered.json()
    holds("the call is taken", answered.status_code == 201 and action["type"] == "StopAndQuarantineFile", answered.text)
    names = (action["machineId"], action["relatedFileInfo"]["fileIdentifier"], action["requestorComment"])
    holds("and names what was asked for", names == (MACHINE["id"], FILE, body["Comment"]), action)
    again = session.post(act, json=body, timeout=10)
    holds("a second one is refused while it is open", again.status_code == 400, again.text)
    holds("by the code that Defender has for it", again.json()["error"]["code"] == "ActiveRequestAlreadyExists", again.text)

    def status():
        return session.get(f"{simulator}/api/machineactions/{action['id']}", timeout=10).json()["status"]

    def let(begin, end):
        requests.put(f"{simulator}/simulator/switches", json={"in_progress_after_ms": begin, "done_after_ms": end}, timeout=10)

    holds("it is pending", status() == "Pending", status())
    let(0, LONG)
    holds("and then in progress", status() == "InProgress", status())
    let(0, 0)
    holds("until it has succeeded", status() == "Succeeded", status())
    listed = session.get(f"{simulator}/api/machineactions", params={"$filter": f"machineId eq '{MACHINE['id']}'"}, timeout=10).json()
    holds("and stands in the list", [entry["id"] for entry in listed["value"]] == [action["id"]], listed)


def holds(claim, is_so, shown):
    if not is_so:
        raise Failed(f"{claim}: {shown}")
    print(f"ok  {claim}")


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "world.json").write_text(json.dumps({"machines": [{**MACHINE, "files": [FILE]}]}))
        (folder / "switches.json").write_text(json.dumps({"in_progress_after_ms": LONG, "done_after_ms": LONG}))
        simulator = f"http://127.0.0.1:{(port := free_port())}"
        command = [pathlib.Path(binary).resolve(), "simulate", "--port", str(port), "--world", "world.json", "--switches", "switches.json"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(f"{simulator}/simulator/calls"), "the simulator answers")
            walk(simulator, Front(folder, simulator))
        finally:
            process.terminate()
            process.wait(30)


main(*sys.argv[1:])
