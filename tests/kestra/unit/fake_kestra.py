"""A Kestra of a few lines in the same process, and the properties that lead to it."""

import email
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from unittest import mock

import httpx
import yaml

from infra.kestra.client import KestraClient
from infra.kestra.lifecycle import connection

Props = dict[str, Any]

CONNECTION: Props = {
    "url": "http://localhost:8080",
    "username": "admin@example.com",
    "password": "Secret1-of-the-login",
}
_ROOT = "/api/v1/main"
_DURATION = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_NAMES = re.compile(r"^id: (\S+)$.*^namespace: (\S+)$", re.MULTILINE | re.DOTALL)


class FakeKestra:
    """Keeps flows with their revisions, files, key-values and dashboards, and counts requests.

    Attributes:
        flows: each flow by namespace and id, such as demo/hello.
        files: each content by namespace and path.
        key_values: each `type` and `value` by namespace and key.
        dashboards: each YAML text by id; None where the server has no dashboards.
        validation: what a validation says beside the constraints.
        refused: the constraints of texts that hold a word.
        asked: how often each method and path was asked.
        is_lost: whether no request arrives.
        failing: the start of the requests that end with an error of the server.
        lost_after: the number of flows after which no request arrives.
        version: what it says of its version.
    """

    def __init__(self) -> None:
        self.flows: dict[str, Props] = {}
        self.files: dict[str, bytes] = {}
        self.key_values: dict[str, Props] = {}
        self.ttls: dict[str, str | None] = {}
        self.dashboards: dict[str, str] | None = {}
        self.version = "1.3.0"
        self.validation: Props = {}
        self.refused: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.failing: str | None = None
        self.is_lost = False
        self.lost_after: int | None = None
        self._revisions: Counter[str] = Counter()
        self._last_methods: dict[str, str] = {}
        self._lock = Lock()

    @property
    def writes(self) -> list[str]:
        """What was asked that changes something, in the order of its first time."""
        harmless = ("GET ", f"POST {_ROOT}/flows/validate", f"POST {_ROOT}/dashboards/validate")
        return [line for line in self.asked if not line.startswith(harmless)]

    def store(self, key: str, source: str) -> Props:
        """Keeps a flow as its next revision, as an edit in the browser does, and returns it."""
        self._revisions[key] += 1
        namespace, flow_id = key.split("/")
        self.flows[key] = {
            "namespace": namespace,
            "id": flow_id,
            "source": source,
            "revision": self._revisions[key],
        }
        return self.flows[key]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers a request, one at a time."""
        with self._lock:
            return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if len(self.flows) == self.lost_after:
            self.is_lost = True
        if self.is_lost:
            raise httpx.ConnectError("[Errno 111] Connection refused")
        path = request.url.path
        self.asked[f"{request.method} {path}"] += 1
        if request.method == "PUT" and re.search("/(flows|dashboards)/", path):
            # A PUT of what does not exist kills Kestra 1.3.
            assert self._last_methods.get(path) == "GET", f"PUT {path} without a GET before it"
        self._last_methods[path] = request.method
        if self.failing and f"{request.method} {path}".startswith(self.failing):
            return httpx.Response(500, json={"message": "disk full"})
        if path == "/api/v1/configs":
            return httpx.Response(200, json={"version": self.version})
        assert path.startswith("/api/v1/"), path
        kind, *rest = path.removeprefix("/api/v1/").removeprefix("main/").split("/")
        if kind == "flows":
            return self._flow(request, rest)
        if kind == "dashboards":
            return self._dashboard(request, "/".join(rest))
        namespace, store, *names = rest
        answer = self._file if store == "files" else self._key_value
        return answer(request, f"{namespace}/{request.url.params.get('path') or '/'.join(names)}")

    def _flow(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        text = request.content.decode()
        key = "/".join(rest)
        if key == "search":
            return httpx.Response(200, json={"results": [], "total": 0})
        if key == "distinct-namespaces":
            namespaces = {flow["namespace"] for flow in self.flows.values()}
            return httpx.Response(200, json=sorted(namespaces))
        if key == "delete/by-ids":
            keys = [f"{flow['namespace']}/{flow['id']}" for flow in json.loads(text)]
            if not self.flows.keys() >= set(keys):
                return httpx.Response(404, json={"message": "Not Found: Flow not found"})
            for gone in keys:
                del self.flows[gone]
            return httpx.Response(200, json={"count": len(keys)})
        reasons = [reason for word, reason in self.refused.items() if word in text]
        if key == "validate":
            return httpx.Response(
                200, json=[{"constraints": "\n".join(reasons) or None, **self.validation}]
            )
        if len(rest) == 1:
            flows = [flow for flow in self.flows.values() if flow["namespace"] == key]
            return httpx.Response(200, json=flows)
        if request.method == "POST":
            names = _NAMES.search(text)
            assert names
            key = f"{names[2]}/{names[1]}"
            if key in self.flows:
                reasons.append("flow.id: Flow id already exists")
        elif key not in self.flows:
            return httpx.Response(404, json={"message": "Not Found"})
        if request.method == "DELETE":
            del self.flows[key]
            return httpx.Response(204)
        if reasons:
            return httpx.Response(422, json={"message": f"Invalid entity: {reasons[0]}"})
        is_read = request.method == "GET"
        return httpx.Response(200, json=self.flows[key] if is_read else self.store(key, text))

    def _file(self, request: httpx.Request, key: str) -> httpx.Response:
        if request.method == "POST":
            head = f"Content-Type: {request.headers['Content-Type']}\n\n".encode()
            form = email.message_from_bytes(head + request.content)
            (content,) = (
                part.get_payload(decode=True) for part in form.walk() if part.get_filename()
            )
            assert isinstance(content, bytes)
            self.files[key] = content
            return httpx.Response(200)
        if key not in self.files:
            return httpx.Response(404, json={"message": "Not Found"})
        if request.method == "DELETE":
            del self.files[key]
            return httpx.Response(204)
        return httpx.Response(200, content=self.files[key])

    def _key_value(self, request: httpx.Request, key: str) -> httpx.Response:
        key = key.replace("kv/", "")
        if request.method == "PUT":
            value = request.content.decode()
            self.key_values[key] = _meaning(value)
            self.ttls[key] = request.headers.get("ttl")
            return httpx.Response(200)
        if request.method == "DELETE":
            return httpx.Response(200, json=self.key_values.pop(key, None) is not None)
        if key not in self.key_values:
            return httpx.Response(404, json={"message": "No value found"})
        return httpx.Response(
            200,
            json={**self.key_values[key], "revision": 1, "updated": "2026-11-26T19:34:57.076489Z"},
        )

    def _dashboard(self, request: httpx.Request, key: str) -> httpx.Response:
        text = request.content.decode()
        reasons = [reason for word, reason in self.refused.items() if word in text]
        if self.dashboards is None:
            return httpx.Response(501, json={"message": "Not Implemented"})
        if key == "validate":
            return httpx.Response(200, json={"constraints": "\n".join(reasons) or None})
        if request.method == "GET" and not key:
            return httpx.Response(200, json={"results": [], "total": 0})
        if request.method == "POST":
            key = yaml.safe_load(text)["id"]
            if key in self.dashboards:
                reasons.append("dashboard.id: Dashboard id already exists")
        elif key not in self.dashboards:
            status = 409 if request.method == "DELETE" else 404
            return httpx.Response(status, json={"message": f"Dashboard {key} doesn't exists"})
        if request.method == "DELETE":
            del self.dashboards[key]
            return httpx.Response(204)
        if reasons:
            return httpx.Response(422, json={"message": f"Invalid entity: {reasons[0]}"})
        if request.method != "GET":
            self.dashboards[key] = text
        return httpx.Response(200, json={"id": key, "sourceCode": self.dashboards[key]})


def _meaning(form: str) -> Props:
    """Returns type and value of a key-value, which Kestra finds from the form as Ion does."""
    try:
        value = json.loads(form)
    except ValueError:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z)?", form), form
        form = re.sub(r"T00:00(:00(\.0+)?)?Z", "", form)
        return {"type": "DATETIME" if "T" in form else "DATE", "value": form}
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return {
            "type": "DURATION",
            "value": _java_duration(*(int(part or 0) for part in found.groups())),
        }
    types = {str: "STRING", bool: "BOOLEAN", int: "NUMBER", float: "NUMBER"}
    return {"type": types.get(type(value), "JSON"), "value": value}


def _java_duration(days: int, hours: int, minutes: int, seconds: int) -> str:
    """Returns a duration as java.time.Duration shows it, which has no days."""
    minutes, seconds = divmod(((days * 24 + hours) * 60 + minutes) * 60 + seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    return "PT" + ("".join(f"{count}{unit}" for count, unit in parts if count) or "0S")


@contextmanager
def serving() -> Iterator[FakeKestra]:
    """Lets every lifecycle talk to a new server, without a pause between attempts."""
    server = FakeKestra()

    connect = KestraClient.__init__

    def connect_to_server(self: KestraClient, *login: str, wait: float = 0.05) -> None:
        transport = httpx.MockTransport(server)
        connect(self, *login, wait=min(wait, 0.05), transport=transport)

    def forget() -> None:
        connection._client.cache_clear()
        connection._answering_client.cache_clear()

    with (
        mock.patch.object(KestraClient, "__init__", connect_to_server),
        mock.patch("tenacity.nap.time.sleep"),
    ):
        forget()
        yield server
    forget()


def stored(outputs: Props | None) -> Props:
    """Outputs as they come back from the state, where every number is a float."""
    kept: Props = json.loads(json.dumps(outputs), parse_int=float)
    return kept


def flow_text(namespace: str, flow_id: str, message: str = "Hello") -> str:
    """The YAML of a flow."""
    return (
        f"# Says something.\nid: {flow_id}\nnamespace: {namespace}\ntasks:\n"
        f"  - id: log\n    type: io.kestra.plugin.core.log.Log\n    message: {message}\n"
    )
