"""QRadar custom action: sends one file on one device to quarantine-bridge, signed. Python 2.7 and 3, base library only.

QRadar gives the parameters in the order in which the action lists them:

    1 url       fixed property: address of the source, https://HOST/v1/hooks/qradar
    2 secret    fixed property, encrypted: whsec_...
    3 severity  fixed property (a word), or event property magnitude or severity (0 to 10)
    4 machine   event property: Defender's machine id, or the device's DNS name
    5 hash      event property: the file's SHA1 or SHA256, bare or as SHA1=...,SHA256=...
    6 file      event property: the file's name
    7 time      event property: deviceTime or startTime
    8 title     event property: eventName or rule name
    9 id        event property with an id of the event's own; may be left out

What it prints is in the custom action's test window and in the log of the jail. Exit codes: 0 the bridge has it,
2 wrong parameters, 3 wrong secret, 8 the bridge refused it, 9 the bridge is away.
"""

import hashlib
import json
import re
import sys
import time

# ---- begin quarantine_bridge_signer.py ----
"""Signs alerts for quarantine-bridge and sends them. Python 2.7 and 3, base library only.

deploy/senders/python/quarantine_bridge_signer.py is the original. Other kits hold the same text, because what they
install must be complete in itself; a test keeps the copies alike. Change the original and run
`UPDATE=1 cargo test --test it senders`.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import random
import re
import ssl
import time

try:
    from urllib.error import HTTPError, URLError
    from urllib.parse import urlsplit
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener
except ImportError:
    from urllib2 import HTTPError, URLError, HTTPRedirectHandler, HTTPSHandler, Request, build_opener
    from urlparse import urlsplit

try:
    from http.client import HTTPException
except ImportError:
    from httplib import HTTPException

# Seconds before the second, third and fourth try.
DELAYS = (1, 2, 4)
# The longest Retry-After that is waited for, in seconds: a tool's script must end.
RETRY_AFTER_MAX = 30


class SecretError(Exception):
    """The secret cannot be used. The text never holds it."""


class Refused(Exception):
    """The bridge answered, and sending the same again will not help."""

    def __init__(self, status, body):
        self.status = status
        self.body = body
        Exception.__init__(self, "the bridge answered %s: %s" % (status, explain(status, body)))


class Unreachable(Exception):
    """Every try failed on the way, or the bridge was too busy each time."""


def explain(status, body):
    """Returns a sentence for a person: what the bridge said, or what the status means."""
    if status == 401:
        return "it did not believe the sender: compare the secrets, and the clocks (5 minutes at most)"
    if 300 <= status < 400:
        return "a redirect, which is not followed: correct the address"
    try:
        problem = json.loads(body)
        said = "%s: %s" % (problem.get("title"), problem.get("detail"))
        errors = problem.get("errors")
        return said + (" " + json.dumps(errors, sort_keys=True) if errors else "")
    except (ValueError, AttributeError):
        return "is the address that of a source, https://HOST/v1/hooks/SOURCE?"


def read_secret_file(path):
    """Returns the secret in a file which not everybody may read."""
    try:
        if os.name == "posix" and os.stat(path).st_mode & 0o007:
            raise SecretError("%s is open to everybody: chmod o-rwx it" % path)
        with open(path) as file:
            secret = file.read().strip()
    except (IOError, OSError) as error:
        raise SecretError("%s cannot be read: %s" % (path, error.strerror))
    except ValueError:
        raise SecretError("%s is not text" % path)
    if not secret:
        raise SecretError("%s is empty" % path)
    return secret


def standard_webhooks(secret, delivery_id, seconds, body):
    """Returns the headers of Standard Webhooks 1.0: base64 of HMAC-SHA256 over id.seconds.body."""
    if not secret.startswith("whsec_"):
        raise SecretError("the secret does not begin with whsec_")
    try:
        key = base64.b64decode(secret[len("whsec_"):].encode("ascii"))
    except (binascii.Error, TypeError, ValueError):
        raise SecretError("the secret is not whsec_ and base64")
    if not 24 <= len(key) <= 64:
        raise SecretError("the secret holds %d bytes; 24 to 64 are needed" % len(key))
    signed = ("%s.%s." % (delivery_id, seconds)).encode("ascii") + body
    mac = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": "v1," + str(base64.b64encode(mac).decode("ascii")),
    }


def timestamped(secret, seconds, body):
    """Returns the header of the scheme timestamped: hex of HMAC-SHA256 over seconds.body, the key as text."""
    key = secret.encode("utf-8")
    if len(key) < 24:
        raise SecretError("the secret holds %d bytes; 24 at least are needed" % len(key))
    signed = ("%s." % seconds).encode("ascii") + body
    mac = hmac.new(key, signed, hashlib.sha256).hexdigest()
    return {"X-Bridge-Signature": "t=%s,v1=%s" % (seconds, mac)}


def sign(secret, body, scheme="standard-webhooks", delivery_id=None):
    """Returns the headers that prove the body, as of now."""
    seconds = int(time.time())
    if scheme == "timestamped":
        return timestamped(secret, seconds, body)
    if scheme == "standard-webhooks":
        # The same body has the same id: sent again by whomever, it is known as the same delivery.
        delivery_id = delivery_id or "msg_" + hashlib.sha256(body).hexdigest()[:32]
        return standard_webhooks(secret, delivery_id, seconds, body)
    raise SecretError("there is no scheme %s here" % scheme)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_arguments):
        return None


def _post(url, headers, body, timeout, ca_file):
    handlers = [_NoRedirect()]
    if url.startswith("https:"):
        handlers.append(HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
    request = Request(url, body, dict(headers, **{"Content-Type": "application/json"}))
    try:
        answer = build_opener(*handlers).open(request, timeout=timeout)
    except HTTPError as error:
        answer = error
    with_text = answer.read(1024 * 1024).decode("utf-8", "replace")
    return answer.getcode(), answer.headers.get("Retry-After"), with_text


def _wait(retry_after, delay):
    if retry_after and re.match(r"^[0-9]{1,6}$", retry_after):
        return min(int(retry_after), RETRY_AFTER_MAX)
    return delay * random.uniform(0.75, 1.25)


def check_url(url):
    """Refuses an address that would carry alerts over a network in clear."""
    parts = urlsplit(url)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise ValueError("the address must begin with https:// (http:// to this machine only)")


def deliver(url, secret, body, scheme="standard-webhooks", delivery_id=None, timeout=10, ca_file=None):
    """Signs the bytes of a JSON body and posts them; returns status and text of the bridge's answer.

    Answers 408, 429 and 5xx and failures on the way are tried three times more, each time with a new timestamp and
    the same id. Raises SecretError, ValueError (address), Refused or Unreachable.
    """
    check_url(url)
    last = None
    for delay in DELAYS + (None,):
        retry_after = None
        try:
            headers = sign(secret, body, scheme, delivery_id)
            status, retry_after, text = _post(url, headers, body, timeout, ca_file)
            if 200 <= status < 300:
                return status, text
            if status not in (408, 429) and status < 500:
                raise Refused(status, text)
            last = "it answered %d: %s" % (status, explain(status, text))
        except (URLError, HTTPException, IOError, OSError) as error:
            last = "%s" % getattr(error, "reason", error)
        if delay is not None:
            time.sleep(_wait(retry_after, delay))
    raise Unreachable("%d tries failed; the last: %s" % (len(DELAYS) + 1, last))


_LABEL = re.compile(r"(?i)\bSHA-?(1|256)\s*[=:]\s*([0-9a-f]+)")


def file_entity(text, name=None):
    """Returns a file of the bridge form from a hash in any form tools use: bare, or SHA1=..,MD5=..,SHA256=.."""
    text = (text or "").strip()
    found = dict(("sha" + number, digits.lower()) for number, digits in _LABEL.findall(text))
    if not found:
        # Neither a label nor a known length: it goes as it is, and the bridge says what is wrong with it.
        found = {"sha256" if len(text) == 64 else "sha1": text.lower()}
    if name:
        found["name"] = name
    return found


def machine_entity(text):
    """Returns a device of the bridge form: Defender's id if it is 40 hexadecimal digits, else a DNS name."""
    text = (text or "").strip()
    return {"id": text.lower()} if re.match(r"^[0-9a-fA-F]{40}$", text) else {"dns_name": text}


def bridge_alert(alert_id, severity, title, occurred_at, machine, file, url=None):
    """Returns one alert of the bridge form, about one file on one device."""
    alert = {
        "alert_id": alert_id,
        "severity": severity,
        "title": title,
        "occurred_at": occurred_at,
        "targets": [{"machine": machine, "file": file}],
    }
    if url:
        alert["url"] = url
    return alert


def to_body(alerts):
    """Returns the bytes to sign and send: write them once, since another spelling has another signature."""
    return json.dumps(alerts, sort_keys=True, separators=(",", ":")).encode("utf-8")
# ---- end quarantine_bridge_signer.py ----

# What QRadar writes for a property that the event does not have.
ABSENT = ("", "null", "none", "n/a", "undefined")


def given(arguments, number):
    """Returns a parameter, or an empty text if the event does not have it."""
    text = arguments[number - 1].strip() if len(arguments) >= number else ""
    return "" if text.lower() in ABSENT else text


def to_severity(text):
    """Makes one of the bridge's words of QRadar's 0 to 10; a word stays as it is."""
    if not re.match(r"^[0-9]{1,2}$", text):
        return text.lower()
    number = int(text)
    for least, word in ((9, "critical"), (7, "high"), (4, "medium"), (1, "low")):
        if number >= least:
            return word
    return "informational"


def to_time(text):
    """QRadar gives milliseconds since 1970."""
    return int(text) if re.match(r"^[0-9]{9,14}$", text) else text


def to_alert(arguments):
    machine, file_hash = given(arguments, 4), given(arguments, 5)
    if not machine or not file_hash:
        raise ValueError("the event names no device (parameter 4) or no file (parameter 5): nothing was sent")
    title = given(arguments, 8) or "QRadar"
    # An event without a time happened now.
    when = given(arguments, 7) or "%d" % time.time()
    alert_id = given(arguments, 9)
    if not alert_id:
        parts = "\0".join([title, when, machine, file_hash]).encode("utf-8", "replace")
        alert_id = "qradar:" + hashlib.sha256(parts).hexdigest()[:40]
    file = file_entity(file_hash, given(arguments, 6))
    return bridge_alert(
        alert_id, to_severity(given(arguments, 3)), title, to_time(when), machine_entity(machine), file
    )


def to_text(argument):
    """Python 2 gives bytes."""
    return argument.decode("utf-8", "replace") if isinstance(argument, bytes) else argument


def main():
    arguments = [to_text(argument) for argument in sys.argv[1:]]
    if len(arguments) < 5:
        print("wrong parameters: url, secret, severity, machine and hash are needed, in this order")
        return 2
    try:
        alert = to_alert(arguments)
        status, text = deliver(str(given(arguments, 1)), given(arguments, 2), to_body(alert))
    except SecretError as error:
        print("ERROR: %s" % error)
        return 3
    except ValueError as error:
        print("ERROR: %s" % error)
        return 2
    except Refused as error:
        print("ERROR: %s" % error)
        return 8
    except Unreachable as error:
        print("ERROR: %s" % error)
        return 9
    print("HTTP %d %s" % (status, text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
