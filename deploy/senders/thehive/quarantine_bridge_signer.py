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
