"""Flows and directories of flows where the network, a proxy or the server fails."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count
from typing import Any

import httpx
import pytest

from infra.kestra.client import KestraClient
from infra.kestra.errors import KestraError
from infra.kestra.lifecycle import connection
from infra.kestra.lifecycle.flow import lifecycle as flow
from infra.kestra.lifecycle.key_value import lifecycle as key_value
from infra.kestra.lifecycle.namespace import lifecycle as namespace
from infra.kestra.lifecycle.namespace_file import lifecycle as namespace_file
from tests.kestra.integration import resources
from tests.kestra.integration.fault_proxy import (
    PAGE,
    Exchange,
    Fault,
    FaultProxy,
    answers_late,
    cuts_body,
    drops,
    loses_answer,
    overtaken,
    passes,
    says,
    stalls,
)
from tests.kestra.integration.resources import Props, stored, text
from tests.kestra.servers import (
    PASSWORD,
    ROOT,
    KestraServer,
    free_port,
)

_TIMEOUT = 1.0  # seconds for which the client waits for an answer
_LATE = 0.45
_WAIT = 5.0  # seconds for which it repeats
_SHORT_WAIT = 0.2
_numbers = count()


class _ImpatientTransport(httpx.HTTPTransport):
    """The network of a client that waits for no answer for long."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["timeout"] = httpx.Timeout(_TIMEOUT).as_dict()
        return super().handle_request(request)


@pytest.fixture(autouse=True)
def wait(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The seconds for which the resources wait for a server; to be changed before they connect."""
    settings = {"wait": _WAIT}

    @lru_cache
    def client(url: str, username: str, password: str) -> KestraClient:
        transport = _ImpatientTransport(verify=False)
        return KestraClient(url, username, password, transport=transport, **settings)

    monkeypatch.setattr(connection, "_client", client)
    return settings


@pytest.fixture
def proxy(server: KestraServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.base) as proxy:
        yield proxy


class Content(ABC):
    """One kind of resource in a namespace of its own, through a proxy that can fail.

    Attributes:
        flows: the ids of its flows.
    """

    flows: tuple[str, ...]
    kind: Any

    def __init__(self, proxy: FaultProxy, server: KestraServer) -> None:
        self.proxy = proxy
        self.http = server.client()
        self.namespace = f"faults.n{next(_numbers)}"

    @property
    @abstractmethod
    def id(self) -> str: ...

    @abstractmethod
    def props(self, message: str) -> Props:
        """The properties of a resource whose flows say something."""

    def create(self, message: str = "one") -> Props:
        return stored(self.kind.create(self.props(message)).outs)

    def update(self, olds: Props, message: str = "two") -> Props:
        return stored(self.kind.update(self.id, olds, self.props(message)).outs)

    def read(self, outs: Props) -> Any:
        return self.kind.read(self.id, outs)

    def delete(self, outs: Props) -> None:
        self.kind.delete(self.id, outs)

    def on_server(self) -> dict[str, tuple[int, str]]:
        """Returns revision and text of each flow on the server."""
        ids = [each["id"] for each in self.http.get(f"/flows/{self.namespace}").json()]
        found = {}
        for flow_id in ids:
            path = f"/flows/{self.namespace}/{flow_id}"
            answer = self.http.get(path, params={"source": True}).json()
            found[flow_id] = (answer["revision"], answer["source"])
        return found

    def expected(self, revision: int, message: str) -> dict[str, tuple[int, str]]:
        return {
            flow_id: (revision, text(self.namespace, flow_id, message)) for flow_id in self.flows
        }


class OneFlow(Content):
    kind = flow
    flows = ("a",)

    @property
    def id(self) -> str:
        return f"{self.namespace}/a"

    def props(self, message: str) -> Props:
        return resources.flow(self.proxy.url, text(self.namespace, "a", message))


class Directory(Content):
    kind = namespace
    flows: tuple[str, ...] = ("a", "b", "c")

    @property
    def id(self) -> str:
        return self.namespace

    def props(self, message: str) -> Props:
        texts = {flow_id: text(self.namespace, flow_id, message) for flow_id in self.flows}
        files = {"sql/a.sql": f"SELECT '{message}'"}
        return resources.directory(self.proxy.url, self.namespace, texts, files)


@pytest.fixture(params=[OneFlow, Directory])
def content(request: pytest.FixtureRequest, proxy: FaultProxy, server: KestraServer) -> Content:
    made: Content = request.param(proxy, server)
    return made


@pytest.fixture
def one_flow(proxy: FaultProxy, server: KestraServer) -> OneFlow:
    return OneFlow(proxy, server)


@pytest.fixture
def folder(proxy: FaultProxy, server: KestraServer) -> Directory:
    return Directory(proxy, server)


def page(status: int, title: str) -> httpx.Response:
    return httpx.Response(status, html=PAGE.format(title))


def refusal(status: int, message: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"message": message}, headers=headers)


# Each strikes once: where it may have been done and where it has not.
PASSING: dict[str, Fault] = {
    "dropped": drops,
    "answer lost": loses_answer,
    "body cut": cuts_body,
    "late answer": answers_late(_LATE),
    "429": says(refusal(429, "Too Many Requests")),
    "500": says(refusal(500, "Internal Server Error")),
    "500 done": says(refusal(500, "Internal Server Error"), after=True),
    "502": says(page(502, "502 Bad Gateway")),
    "502 done": says(page(502, "502 Bad Gateway"), after=True),
    "503": says(page(503, "503 Service Unavailable")),
    "504": says(page(504, "504 Gateway Time-out")),
    "504 done": says(page(504, "504 Gateway Time-out"), after=True),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_temporary_failure_loses_and_duplicates_nothing(content: Content, fault: Fault) -> None:
    proxy = content.proxy
    proxy.inject("POST .*/flows\n.*id: a\n", fault, times=1)
    proxy.inject("POST .*/files", fault, times=1)
    created = content.create()
    assert content.on_server() == content.expected(1, "one")
    assert not created.get("failures")

    proxy.heal()
    proxy.inject("PUT .*/a\n", fault, times=1)
    proxy.inject("POST .*/validate\n.*id: a\n", fault, times=1)
    updated = content.update(created)
    assert content.on_server() == content.expected(2, "two")

    proxy.heal()
    proxy.inject("GET ", fault, times=1)
    assert stored(content.read(updated).outs) == updated

    proxy.heal()
    proxy.inject("DELETE ", fault, times=1)
    content.delete(updated)
    assert content.on_server() == {}


@pytest.mark.parametrize(
    "answer",
    [page(200, "Please log in"), httpx.Response(200, text="OK"), httpx.Response(200, json=[])],
    ids=["page", "no JSON", "another JSON"],
)
@pytest.mark.parametrize("after", [False, True], ids=["not done", "done"])
def test_a_create_whose_answer_is_another_s_is_looked_after(
    content: Content, answer: httpx.Response, after: bool
) -> None:
    content.proxy.inject("POST .*/flows\n.*id: a\n", says(answer, after=after), times=1)
    content.create()
    assert content.on_server() == content.expected(1, "one")
    assert content.proxy.count("POST .*/flows$") == len(content.flows) + (not after)


# Each goes on; with the words of the error, and how often a PUT, GET or DELETE is tried if that
# does not depend on the time.
LASTING: dict[str, tuple[Fault, str, int | None]] = {
    "401": (
        says(httpx.Response(401, headers={"WWW-Authenticate": "Basic"})),
        "status 401: the user name or the password is wrong",
        1,
    ),
    "409": (says(refusal(409, "Illegal state: busy")), "status 409: Illegal state: busy", 1),
    "422": (
        says(refusal(422, "Invalid entity: tasks: must not be empty\n")),
        "status 422: Invalid entity: tasks: must not be empty",
        1,
    ),
    "429": (says(refusal(429, "Too Many Requests")), "status 429: Too Many Requests", None),
    "500": (says(refusal(500, "Internal Server Error: x")), "status 500: Internal Server Err", 3),
    "502": (says(page(502, "Bad Gateway")), "status 502: Bad Gateway Bad Gateway nginx", None),
    "503": (says(page(503, "Unavailable")), "status 503: Unavailable Unavailable nginx", None),
    "504": (says(page(504, "Timed out")), "status 504: Timed out Timed out nginx", None),
    "page": (
        says(page(200, "Please log in")),
        "status 200: is it Kestra? It answers with a page: Please log in Please log in nginx",
        1,
    ),
    "page 404": (
        says(page(404, "Not Found")),
        "status 404: is it Kestra? It answers with a page: Not Found Not Found nginx",
        1,
    ),
    "dropped": (drops, "no answer from http://127.0.0.1:", None),
    "stalled": (stalls(_LATE), "no answer from http://127.0.0.1:", None),
}


def check_error(message: str, request: str, words: str) -> None:
    assert request in message
    assert words in message
    assert PASSWORD not in message


@pytest.mark.parametrize(("fault", "words", "tries"), LASTING.values(), ids=LASTING)
def test_a_lasting_failure_is_an_error_with_the_message_of_the_server(
    one_flow: OneFlow, fault: Fault, words: str, tries: int | None, wait: dict[str, float]
) -> None:
    wait["wait"] = _SHORT_WAIT
    proxy = one_flow.proxy
    path = f"/api/v1/main/flows/{one_flow.id}"
    bound = tries or 8

    proxy.inject("POST .*/flows\n", fault)
    with pytest.raises(KestraError) as caught:
        one_flow.create()
    check_error(str(caught.value), f"flow {one_flow.id}: POST /api/v1/main/flows: ", words)
    assert proxy.count("POST .*/flows$") <= max(bound, 3)

    proxy.heal()
    created = one_flow.create()
    proxy.inject("PUT ", fault)
    with pytest.raises(KestraError) as caught:
        one_flow.update(created)
    check_error(str(caught.value), f"flow {one_flow.id}: PUT {path}: ", words)
    assert 1 <= proxy.count("PUT ") <= bound

    proxy.heal()
    proxy.inject("GET ", fault)
    with pytest.raises(KestraError) as caught:
        one_flow.read(created)
    check_error(str(caught.value), f"GET {path}: ", words)
    assert 1 <= proxy.count("GET ") <= bound

    proxy.heal()
    proxy.inject("DELETE ", fault)
    with pytest.raises(KestraError) as caught:
        one_flow.delete(created)
    check_error(str(caught.value), f"DELETE {path}: ", words)
    assert 1 <= proxy.count("DELETE ") <= bound

    # What was left half-way is brought to its end by the next run.
    proxy.heal()
    one_flow.update(created, "three")
    assert one_flow.on_server()["a"][1] == text(one_flow.namespace, "a", "three")


@pytest.mark.parametrize("case", ["401", "422", "429", "500", "502", "page", "stalled"])
def test_the_flows_and_files_that_fail_are_named_and_the_others_written(
    folder: Directory, case: str, wait: dict[str, float]
) -> None:
    fault, words, _ = LASTING[case]
    wait["wait"] = _SHORT_WAIT
    proxy = folder.proxy
    # The last one fails, so that a server that is lost to it does not keep the others back.
    folder.flows = ("b", "c", "a")
    proxy.inject("POST .*/flows\n.*id: a\n", fault)
    created = folder.create()
    assert folder.on_server().keys() == {"b", "c"}
    assert created["written"].keys() == {"b", "c"}
    assert created["failures"].keys() == {"a"}
    check_error(
        created["failures"]["a"],
        f"flows/{folder.namespace}/a.yaml: flow {folder.namespace}/a: POST /api/v1/main/flows: ",
        words,
    )
    assert namespace.diff(folder.id, created, folder.props("one")).changes

    proxy.heal()
    proxy.inject("POST .*/files", fault)
    updated = folder.update(created, "two")
    check_error(
        updated["failures"]["sql/a.sql"],
        f"file sql/a.sql: POST /api/v1/main/namespaces/{folder.namespace}/files?path=sql/a.sql: ",
        words,
    )

    proxy.heal()
    healed = folder.update(updated, "two")
    assert healed["failures"] == {}
    assert {key: source for key, (_, source) in folder.on_server().items()} == {
        flow_id: text(folder.namespace, flow_id, "two") for flow_id in folder.flows
    }
    assert not namespace.diff(folder.id, healed, folder.props("two")).changes


def test_requests_that_are_overtaken_by_their_repetition_do_no_harm(one_flow: OneFlow) -> None:
    proxy = one_flow.proxy
    late = overtaken("POST .*/flows\n", proxy)
    created = one_flow.create()
    assert late.wait(5)
    assert one_flow.on_server() == one_flow.expected(1, "one")

    late = overtaken("PUT ", proxy)
    updated = one_flow.update(created)
    assert late.wait(5)
    assert one_flow.on_server() == one_flow.expected(2, "two")
    assert stored(one_flow.read(updated).outs) == updated

    late = overtaken("DELETE ", proxy)
    one_flow.delete(updated)
    assert late.wait(5)
    assert one_flow.on_server() == {}


def test_a_create_that_arrives_after_the_server_was_asked_for_it_is_found(
    one_flow: OneFlow,
) -> None:
    proxy = one_flow.proxy
    was_asked, has_arrived = threading.Event(), threading.Event()

    def arrives_late(exchange: Exchange) -> None:
        was_asked.wait(10)
        exchange.forward()
        has_arrived.set()
        exchange.cut()

    def is_told_of_none(exchange: Exchange) -> None:
        passes(exchange)
        was_asked.set()

    def comes_after_it(exchange: Exchange) -> None:
        has_arrived.wait(10)
        passes(exchange)

    proxy.inject("POST .*/flows\n", arrives_late, times=1)
    proxy.inject("POST .*/flows\n", comes_after_it, times=1)
    # The first question comes before the first attempt to create it.
    proxy.inject("GET .*/a.source", is_told_of_none, first=2, times=1)
    created = one_flow.create()
    assert created["revision"] == 1
    assert one_flow.on_server() == one_flow.expected(1, "one")
    assert proxy.count("POST ") == 2


def test_the_time_that_a_server_asks_for_is_given_to_it(one_flow: OneFlow) -> None:
    busy = refusal(429, "Too Many Requests", **{"Retry-After": "1"})
    one_flow.proxy.inject("POST .*/flows\n", says(busy), times=1)
    start = time.monotonic()
    one_flow.create()
    assert 1.0 <= time.monotonic() - start < 2.5
    assert one_flow.proxy.count("POST ") == 2
    assert one_flow.on_server() == one_flow.expected(1, "one")


def test_a_missing_flow_is_created_again_and_one_that_goes_in_the_middle_is_an_error(
    one_flow: OneFlow,
) -> None:
    created = one_flow.create()
    one_flow.http.delete(f"/flows/{one_flow.id}").raise_for_status()
    # A deleted flow goes on counting where it was.
    updated = one_flow.update(created)
    assert one_flow.on_server() == one_flow.expected(3, "two")

    def loses_the_flow(exchange: Exchange) -> None:
        one_flow.http.delete(f"/flows/{one_flow.id}").raise_for_status()
        passes(exchange)

    one_flow.proxy.inject("PUT ", loses_the_flow, times=1)
    with pytest.raises(KestraError) as caught:
        one_flow.update(updated, "three")
    check_error(
        str(caught.value),
        f"flow {one_flow.id}: PUT /api/v1/main/flows/{one_flow.id}: ",
        "status 404: Not Found",
    )


def test_a_server_that_is_not_ready_is_waited_for(
    server: KestraServer, wait: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    wait["wait"] = 20.0
    name, port = f"faults.n{next(_numbers)}", free_port()
    late = KestraServer(server.database, server.folder, port=port)
    start = threading.Timer(0.5, late.start)
    start.start()
    try:
        created = flow.create(resources.flow(late.base, text(name, "a")))
        assert created.outs is not None
        assert created.outs["revision"] == 1
    finally:
        start.join()
        late.kill()


@pytest.mark.parametrize("stop", [KestraServer.stop, KestraServer.kill])
def test_a_server_that_is_restarted_in_the_middle_gets_every_flow_once(
    folder: Directory,
    server: KestraServer,
    wait: dict[str, float],
    stop: Callable[[KestraServer], object],
) -> None:
    wait["wait"] = 30.0
    folder.flows = tuple(f"f{number}" for number in range(30))

    def restart() -> None:
        stop(server)
        server.start()

    restarting = threading.Thread(target=restart)

    def meets_a_restart(exchange: Exchange) -> None:
        restarting.start()
        passes(exchange)

    folder.proxy.inject("POST .*/flows\n", meets_a_restart, first=10, times=1)
    try:
        created = folder.create()
    finally:
        restarting.join()
    assert created["failures"] == {}
    assert folder.on_server() == folder.expected(1, "one")


def test_a_server_that_is_gone_for_good_is_given_up_once(
    folder: Directory, wait: dict[str, float]
) -> None:
    wait["wait"] = 2.0
    folder.flows = tuple(f"f{number:02}" for number in range(40))
    created = folder.create()
    folder.proxy.inject("PUT |GET ", says(page(502, "502 Bad Gateway")), first=30)
    start = time.monotonic()
    updated = folder.update(created)
    # Not each of the flows waits for it in turn.
    assert time.monotonic() - start < 15
    failures = updated["failures"]
    assert failures
    assert set(failures) | {
        flow_id
        for flow_id, each in updated["written"].items()
        if each != created["written"][flow_id]
    } == set(folder.flows)
    assert any(
        "not tried, since the server stopped answering" in each for each in failures.values()
    )
    assert all(each.startswith(f"flows/{folder.namespace}/f") for each in failures.values())

    folder.proxy.heal()
    assert folder.update(updated)["failures"] == {}
    assert folder.on_server() == folder.expected(2, "two")


def test_flows_that_are_refused_do_not_keep_the_others_back(folder: Directory) -> None:
    folder.flows = tuple(f"f{number:02}" for number in range(40))
    created = folder.create()
    edited = text(folder.namespace, "f00", "edited in the browser")
    headers = {"Content-Type": "application/x-yaml"}
    folder.http.put(f"/flows/{folder.namespace}/f00", content=edited, headers=headers)
    props = folder.props("two")
    props["flows"]["f01"] = text(folder.namespace, "f01", "two").replace("log.Log", "log.Lag")
    updated = stored(namespace.update(folder.id, created, props).outs)
    assert updated["failures"].keys() == {"f00", "f01"}
    assert updated["failures"]["f00"].startswith(
        f"flows/{folder.namespace}/f00.yaml: flow {folder.namespace}/f00: has revision 2 on the "
        "server, but 1 in the state"
    )
    assert "Invalid type: io.kestra.plugin.core.log.Lag" in updated["failures"]["f01"]
    on_server = folder.on_server()
    assert on_server.pop("f00") == (2, edited)
    assert on_server.pop("f01") == (1, text(folder.namespace, "f01", "one"))
    assert set(on_server.values()) == {
        (2, text(folder.namespace, flow_id, "two")) for flow_id in on_server
    }


def test_a_deletion_that_fails_is_made_up_for(folder: Directory) -> None:
    created = folder.create()
    folder.flows = ("a", "b")
    folder.proxy.inject("DELETE .*by-ids", says(refusal(500, "Internal Server Error: x")))
    updated = folder.update(created)
    assert updated["failures"] == {
        "deletion": "DELETE /api/v1/main/flows/delete/by-ids: status 500: Internal Server Error: x"
    }
    assert updated["written"].keys() == {"a", "b", "c"}
    folder.proxy.heal()
    assert folder.update(updated)["written"].keys() == {"a", "b"}
    assert folder.on_server() == folder.expected(2, "two")


_CREATE = """\
import json, sys
from infra.kestra.provider import NamespaceProvider
NamespaceProvider().create(json.load(sys.stdin))
"""


def test_a_create_that_was_killed_goes_on(folder: Directory) -> None:
    folder.flows = tuple(f"f{number:02}" for number in range(40))
    command = [sys.executable, "-c", _CREATE]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True) as process:

        def kills(exchange: Exchange) -> None:
            exchange.forward()
            process.kill()
            exchange.cut()

        # Each of the ten connections waits for its kill: no more than 24 flows arrive.
        folder.proxy.inject("POST .*/flows\n", kills, first=15)
        process.communicate(json.dumps(folder.props("one")), timeout=30)
    assert process.returncode == -9
    assert 15 <= len(folder.on_server()) < 40

    folder.proxy.heal()
    assert folder.create()["failures"] == {}
    assert folder.on_server() == folder.expected(1, "one")
    assert 0 < folder.proxy.count("POST .*/flows$") <= 25


def test_an_update_whose_outputs_were_lost_goes_on(content: Content) -> None:
    created = content.create()
    content.update(created)
    content.proxy.heal()
    content.update(created)
    assert content.proxy.count("PUT ") == 0
    assert content.on_server() == content.expected(2, "two")


@pytest.mark.parametrize(
    ("kind", "props"),
    [
        (flow, lambda url, name: resources.flow(url, text(name, "a"))),
        (namespace, lambda url, name: resources.directory(url, name, {"a": text(name, "a")})),
        (namespace_file, lambda url, name: resources.file(url, name, "a.txt", "x")),
        (key_value, lambda url, name: resources.key_value(url, name, "a", "x")),
    ],
    ids=["flow", "directory", "file", "key-value"],
)
@pytest.mark.parametrize(
    "fault",
    [drops, says(httpx.Response(401)), says(page(200, "Please log in")), says(page(502, "Bad"))],
    ids=["dropped", "401", "page", "502"],
)
def test_a_preview_says_nothing_of_a_server_that_it_cannot_ask(
    proxy: FaultProxy, kind: Any, props: Callable[[str, str], Props], fault: Fault
) -> None:
    proxy.inject("", fault)
    result = kind.check({}, {**props(proxy.url, "faults.preview"), "isPreview": True})
    assert result.failures == []
    assert "isPreview" not in result.inputs


@pytest.mark.parametrize("case", ["dropped", "late answer", "429", "500", "502"])
def test_a_preview_survives_a_failure(content: Content, case: str) -> None:
    content.proxy.inject("POST .*/validate\n", PASSING[case], times=1)
    assert content.kind.check({}, {**content.props("one"), "isPreview": True}).failures == []
    assert content.proxy.count("POST .*/validate") == len(content.flows) + 1


@pytest.mark.parametrize("fault", [loses_answer, answers_late(_LATE), cuts_body, drops])
def test_files_and_key_values_survive_a_failure(
    proxy: FaultProxy, server: KestraServer, fault: Fault
) -> None:
    name = f"faults.n{next(_numbers)}"
    file = resources.file(proxy.url, name, "a/b.txt", "text")
    key = resources.key_value(proxy.url, name, "k", "[1, 2]", "JSON")
    proxy.inject("POST ", fault, times=1)
    proxy.inject("PUT ", fault, times=1)
    file_outs = stored(namespace_file.create(file).outs)
    key_outs = stored(key_value.create(key).outs)
    assert namespace_file.read(namespace_file.identity(file), file_outs).outs == file_outs
    assert key_value.read(key_value.identity(key), key_outs).outs == key_outs
    proxy.inject("DELETE ", fault, times=2)
    namespace_file.delete(namespace_file.identity(file), file_outs)
    key_value.delete(key_value.identity(key), key_outs)
    http = server.client()
    assert http.get(f"/namespaces/{name}/files", params={"path": "a/b.txt"}).status_code == 404
    assert http.get(f"/namespaces/{name}/kv/k").status_code == 404


def test_a_page_instead_of_an_answer_is_no_success(proxy: FaultProxy) -> None:
    name = f"faults.n{next(_numbers)}"
    file = resources.file(proxy.url, name, "a.txt", "text")
    key = resources.key_value(proxy.url, name, "k", "secret value")
    proxy.inject("POST |PUT |DELETE ", says(page(200, "Please log in")))
    path = f"/api/v1/main/namespaces/{name}"
    for change, request in (
        (lambda: namespace_file.create(file), f"POST {path}/files?path=a.txt: status 200: "),
        (lambda: key_value.create(key), f"PUT {path}/kv/k: status 200: "),
        (
            lambda: namespace_file.delete(namespace_file.identity(file), file),
            f"DELETE {path}/files?path=a.txt: status 200: ",
        ),
        (
            lambda: key_value.delete(key_value.identity(key), key),
            f"DELETE {path}/kv/k: status 200: ",
        ),
    ):
        with pytest.raises(KestraError) as caught:
            change()
        check_error(str(caught.value), request, "page: Please log in")
        assert "secret value" not in str(caught.value)
