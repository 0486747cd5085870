"""As much of Azure's template language and of Logic Apps as the playbooks use: what it does not know is an error.

Written from Microsoft's reference of the workflow definition language. A null where a function of Logic Apps takes none is an
error here too.
"""

import json
import re
import urllib.parse
import urllib.request

from stage import answer_of, time


class Broken(Exception):
    """The template asks for what is not there."""


TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+)|([A-Za-z_]\w*)|(\?\[|\?\.|[\[\]().,}]))")


class Expression:
    """One expression: parsed and worked out in one go."""

    def __init__(self, text, functions, start=0):
        self.text, self.functions, self.at = text, functions, start

    def peek(self):
        found = TOKEN.match(self.text, self.at)
        return (found.group().strip(), found) if found else ("", None)

    def take(self, wanted=None):
        token, found = self.peek()
        if found is None or (wanted is not None and token != wanted):
            raise Broken(f"{wanted} expected at {self.at} of {self.text}")
        self.at = found.end()
        return token, found

    def value(self):
        token, found = self.take()
        if found[1]:
            value = found[1][1:-1].replace("''", "'")
        elif found[2]:
            value = int(found[2])
        elif token in ("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[token]
        elif found[3]:
            value = self.call(token)
        else:
            raise Broken(f"{token} at {found.start()} of {self.text}")
        return self.members(value)

    def call(self, name):
        self.take("(")
        arguments = []
        while self.peek()[0] != ")":
            arguments.append(self.value())
            if self.peek()[0] == ",":
                self.take()
        self.take(")")
        if name not in self.functions:
            raise Broken(f"no function {name}")
        return self.functions[name](*arguments)

    def members(self, value):
        while (token := self.peek()[0]) in ("?[", "[", ".", "?."):
            self.take()
            name = self.value() if "[" in token else self.take()[0]
            if "[" in token:
                self.take("]")
            if value is None and token.startswith("?"):
                continue
            if not isinstance(value, (dict, list)):
                raise Broken(f"no member {name} of {value!r}")
            if isinstance(value, dict) and name not in value and not token.startswith("?"):
                raise Broken(f"no member {name}")
            value = value.get(name) if isinstance(value, dict) else value[name]
        return value


def text_of(value):
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def no_null(function):
    def checked(*arguments):
        if any(argument is None for argument in arguments):
            raise Broken(f"null for {function}")
        return function(*arguments)

    return checked


PLAIN = {
    "concat": no_null(lambda *texts: "".join(text_of(text) for text in texts)),
    "toLower": no_null(str.lower),
    "toUpper": no_null(str.upper),
    "take": no_null(lambda text, count: text[:count]),
    "replace": no_null(str.replace),
    "substring": no_null(lambda text, start, length=None: text[start:] if length is None else text[start:start + length]),
    "lastIndexOf": no_null(str.rindex),
    "length": no_null(len),
    "greater": no_null(lambda a, b: a > b),
    "first": no_null(lambda items: items[0] if items else None),
    "encodeURIComponent": no_null(lambda text: urllib.parse.quote(text, safe="")),
    "setProperty": no_null(lambda thing, name, value: {**thing, name: value}),
    "json": no_null(json.loads),
    "string": text_of,
    "empty": lambda value: value is None or len(value) == 0,
    "equals": lambda a, b: a == b,
    "and": lambda *values: all(values),
    "if": lambda condition, then, otherwise: then if condition else otherwise,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
}


def deployed(template, parameters):
    """Returns the resources of a template as Azure would deploy them with these parameters."""
    values = {name: parameters.get(name, stated.get("defaultValue")) for name, stated in template["parameters"].items()}
    if missing := [name for name, value in values.items() if value is None]:
        raise Broken(f"parameters without a value: {missing}")
    functions = {
        **PLAIN,
        "parameters": lambda name: values[name],
        "variables": lambda name: worked_out(template["variables"][name]),
        "resourceGroup": lambda: {"location": "westeurope"},
        "environment": lambda: {"resourceManager": "https://management.azure.com/", "suffixes": {"keyvaultDns": ".vault.azure.net"}},
        "resourceId": lambda *parts: "/" + "/".join(parts),
        "subscriptionResourceId": lambda *parts: "/subscriptions/0/" + "/".join(parts),
        "reference": lambda *_: {"identity": {"principalId": "principal"}},
    }

    def worked_out(value):
        if isinstance(value, dict):
            return {name: worked_out(member) for name, member in value.items()}
        if isinstance(value, list):
            return [worked_out(member) for member in value]
        if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
            return Expression(value[1:-1], functions).value()
        return value

    worked_out(template["outputs"])
    return worked_out(template["resources"])


class Run:
    """One run of a workflow. `connector` answers for connections and `cloud` for Azure's own addresses, each by (method, path, body)."""

    def __init__(self, workflow, trigger_body, bridge, connector, cloud):
        definition = workflow["properties"]["definition"]
        given = {name: value["value"] for name, value in workflow["properties"]["parameters"].items()}
        self.parameters = {name: given.get(name, stated.get("defaultValue")) for name, stated in definition["parameters"].items()}
        if missing := [name for name, value in self.parameters.items() if value is None]:
            raise Broken(f"workflow parameters without a value: {missing}")
        self.bridge, self.connector, self.cloud = bridge, connector, cloud
        self.results, self.item = {}, {}
        self.functions = {
            **PLAIN,
            "triggerBody": lambda: trigger_body,
            "parameters": lambda name: self.parameters[name],
            "body": lambda name: (self.outputs(name) or {}).get("body"),
            "outputs": self.outputs,
            "items": lambda loop: self.item[loop],
            "item": lambda: self.item[None],
            "workflow": lambda: {"name": workflow["name"], "run": {"name": "run-1"}},
        }
        self.actions(definition["actions"])

    def outputs(self, name):
        if name not in self.results:
            raise Broken(f"no action {name} before")
        return self.results[name][1]

    def worked_out(self, value):
        if isinstance(value, dict):
            return {name: self.worked_out(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.worked_out(member) for member in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, text):
        if text.startswith("@") and not text.startswith("@{"):
            whole = Expression(text, self.functions, 1)
            value = whole.value()
            if whole.at != len(text):
                raise Broken(f"more than one expression: {text}")
            return value
        made, at = "", 0
        while (begin := text.find("@{", at)) >= 0:
            inner = Expression(text, self.functions, begin + 2)
            made += text[at:begin] + text_of(inner.value())
            inner.take("}")
            at = inner.at
        return made + text[at:]

    def actions(self, actions):
        """Runs actions in the order that runAfter gives."""
        left = dict(actions)
        while left:
            ready = [name for name, action in left.items() if set(action.get("runAfter") or {}) <= set(self.results) - set(left)]
            if not ready:
                raise Broken(f"no order for {list(left)}")
            for name in ready:
                action = left.pop(name)
                runs = all(self.results[before][0] in statuses for before, statuses in (action.get("runAfter") or {}).items())
                self.results[name] = getattr(self, "run_" + action["type"].lower())(name, action) if runs else ("Skipped", None)

    def run_compose(self, _, action):
        return "Succeeded", self.worked_out(action["inputs"])

    def run_query(self, _, action):
        kept = []
        for item in self.worked_out(action["inputs"]["from"]):
            self.item[None] = item
            if self.worked_out(action["inputs"]["where"]) is True:
                kept.append(item)
        return "Succeeded", {"body": kept}

    def run_select(self, _, action):
        made = []
        for item in self.worked_out(action["inputs"]["from"]):
            self.item[None] = item
            made.append(self.worked_out(action["inputs"]["select"]))
        return "Succeeded", {"body": made}

    def run_if(self, _, action):
        holds = self.holds(action["expression"])
        self.actions(action["actions"] if holds else action.get("else", {}).get("actions", {}))
        return "Succeeded", None

    def holds(self, condition):
        (operator, operands), = condition.items()
        if operator == "and":
            return all(self.holds(operand) for operand in operands)
        return self.functions[operator](*self.worked_out(operands))

    def run_foreach(self, name, action):
        for item in self.worked_out(action["foreach"]):
            self.item[name] = item
            for inner in action["actions"]:
                self.results.pop(inner, None)
            self.actions(action["actions"])
        return "Succeeded", None

    def run_apiconnection(self, _, action):
        inputs = self.worked_out(action["inputs"])
        return "Succeeded", {"statusCode": 200, "body": self.connector(inputs["method"], inputs["path"], inputs.get("body"))}

    def run_http(self, _, action):
        inputs = self.worked_out(action["inputs"])
        if not inputs["uri"].startswith(self.bridge):
            status, body = self.cloud(inputs["method"], inputs["uri"], inputs["authentication"])
            return ("Succeeded" if status < 400 else "Failed"), {"statusCode": status, "body": body}
        headers = dict(inputs.get("headers", {}))
        if inputs["authentication"]["type"] != "Raw":
            raise Broken("the bridge takes its own token")
        headers["Authorization"] = inputs["authentication"]["value"]
        retries = inputs["retryPolicy"]["count"]
        data = json.dumps(inputs["body"]).encode()
        while True:
            status, answered, body = answer_of(urllib.request.Request(inputs["uri"], data, headers, method=inputs["method"]))
            if status not in (408, 429) and status < 500 or retries == 0:
                break
            retries -= 1
        end = time.monotonic() + seconds_of(self.worked_out(action["limit"]["timeout"]))
        # The asynchronous pattern.
        while status == 202 and action.get("operationOptions") != "DisableAsyncPattern":
            if time.monotonic() > end:
                return "TimedOut", None
            time.sleep(0.3)
            authorization = {"Authorization": headers["Authorization"]}
            status, answered, body = answer_of(urllib.request.Request(answered["Location"], headers=authorization))
        return ("Succeeded" if status < 400 else "Failed"), {"statusCode": status, "body": body}


def seconds_of(text):
    """Reads the ISO 8601 durations that are used here."""
    number, unit = re.fullmatch(r"PT(\d+)([SMH])", text).groups()
    return int(number) * {"S": 1, "M": 60, "H": 3600}[unit]
