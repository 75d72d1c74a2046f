"""Flows as resources: what the provider does, and what of it lands in the state."""

import base64
import pickle
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pulumi.dynamic import CreateResult, ReadResult, UpdateResult
from pulumi.dynamic.dynamic import serialize_provider

from infra.kestra import lifecycle
from infra.kestra.api import KestraClient, KestraError
from infra.kestra.provider import FlowProvider
from infra.kestra.resources import Flow
from tests.unit.harness import FLOW, run

KEY = "demo/hello"
TEXT = "id: hello\nnamespace: demo\ntasks: []\n"
OTHER_TEXT = TEXT + "# changed\n"
PROPS: dict[str, Any] = {
    "url": "http://localhost:8080",
    "username": "admin@example.com",
    "password": "Secret1-of-the-login",
    "source": TEXT,
}


class Kestra:
    """A server in the same process that keeps flows and their revisions."""

    def __init__(self) -> None:
        self.flows: dict[str, dict[str, Any]] = {}
        self.constraints: str | None = None
        self.writes: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/main/flows").strip("/")
        if request.url.path == "/api/v1/configs":
            return httpx.Response(200, json={"version": "1.3.34"})
        if path == "validate":
            return httpx.Response(200, json=[{"index": 0, "constraints": self.constraints}])
        if request.method == "POST":
            path = KEY
        elif path not in self.flows:
            return httpx.Response(404, json={"message": "Not Found"})
        if request.method == "GET":
            return httpx.Response(200, json=self.flows[path])
        self.writes.append(request.method)
        if request.method == "DELETE":
            del self.flows[path]
            return httpx.Response(204)
        return httpx.Response(200, json=self.store(path, request.content.decode()))

    def store(self, key: str, source: str) -> dict[str, Any]:
        """Keeps a flow as its next revision and returns it."""
        revision = self.flows.get(key, {"revision": 0})["revision"] + 1
        self.flows[key] = {"source": source, "revision": revision}
        return self.flows[key]


@pytest.fixture
def kestra(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kestra]:
    server = Kestra()

    def connect(url: str, username: str, password: str) -> KestraClient:
        return KestraClient(url, username, password, transport=httpx.MockTransport(server))

    monkeypatch.setattr(lifecycle, "KestraClient", connect)
    lifecycle._cached_client.cache_clear()
    yield server
    lifecycle._cached_client.cache_clear()


def props(**changes: object) -> dict[str, Any]:
    return {**PROPS, **changes}


def test_create_writes_a_new_flow(kestra: Kestra):
    created = lifecycle.create(props(revision=None))
    assert (created.id, created.outs) == (KEY, props(revision=1))
    assert kestra.writes == ["POST"]


def test_create_takes_over_the_same_flow(kestra: Kestra):
    kestra.store(KEY, "earlier")
    kestra.store(KEY, TEXT)
    created = lifecycle.create(PROPS)
    assert (created.id, created.outs) == (KEY, props(revision=2))
    assert kestra.writes == []


def test_create_leaves_another_flow_of_that_name_alone(kestra: Kestra):
    kestra.store(KEY, OTHER_TEXT)
    with pytest.raises(KestraError) as caught:
        lifecycle.create(PROPS)
    assert str(caught.value) == (
        "flow demo/hello exists already on http://localhost:8080, with another text. Delete it "
        "there, or give flows/demo/hello.yaml another id."
    )
    assert kestra.writes == []


@pytest.mark.parametrize("operation", [lifecycle.create, lifecycle.update])
def test_a_flow_that_the_server_refuses_is_not_written(kestra: Kestra, operation: Any):
    kestra.constraints = "Invalid type: x.Y"
    with pytest.raises(KestraError) as caught:
        operation(PROPS)
    assert str(caught.value) == (
        "flow demo/hello (flows/demo/hello.yaml) is refused: Invalid type: x.Y"
    )
    assert kestra.writes == []


def test_update_writes_the_next_revision(kestra: Kestra):
    kestra.store(KEY, TEXT)
    assert lifecycle.update(props(source=OTHER_TEXT)).outs == props(source=OTHER_TEXT, revision=2)
    assert kestra.flows[KEY]["source"] == OTHER_TEXT
    assert kestra.writes == ["PUT"]


@pytest.mark.parametrize(
    ("changes", "changed", "replaces"),
    [
        ({}, False, []),
        ({"revision": None}, False, []),
        ({"source": OTHER_TEXT}, True, []),
        ({"source": TEXT.replace("hello", "goodbye")}, True, ["source"]),
        ({"source": TEXT.replace("demo", "prod")}, True, ["source"]),
        ({"password": "Another1"}, True, []),
        ({"username": "other@example.com"}, True, []),
        ({"url": "http://localhost:9090"}, True, []),
    ],
)
def test_diff_replaces_only_what_is_another_flow(
    changes: dict[str, Any], changed: bool, replaces: list[str]
):
    difference = lifecycle.diff(props(revision=3), props(**changes))
    assert (difference.changes, difference.replaces) == (changed, replaces)
    # A new id is created before the old one goes.
    assert not difference.delete_before_replace


def test_delete_takes_the_flow_away_and_is_content_when_it_is_gone(kestra: Kestra):
    kestra.store(KEY, TEXT)
    lifecycle.delete(props(revision=1))
    lifecycle.delete(props(revision=1))
    assert kestra.flows == {}


def test_read_finds_the_flow_as_it_is(kestra: Kestra):
    kestra.store(KEY, TEXT)
    result = lifecycle.read(KEY, props(revision=1))
    assert (result.id, result.outs) == (KEY, props(revision=1))


def test_read_finds_what_was_changed_on_the_server(kestra: Kestra):
    kestra.store(KEY, TEXT)
    kestra.store(KEY, OTHER_TEXT)
    result = lifecycle.read(KEY, props(revision=1))
    assert (result.id, result.outs) == (KEY, props(source=OTHER_TEXT, revision=2))


def test_read_finds_that_the_flow_was_deleted(kestra: Kestra):
    result = lifecycle.read(KEY, props(revision=1))
    assert (result.id, result.outs) == ("", {})


def test_flows_of_one_server_share_a_client(kestra: Kestra):
    client = lifecycle._client(PROPS)
    assert lifecycle._client(props(source=OTHER_TEXT)) is client
    assert lifecycle._client(props(password="Another1")) is not client


def test_the_provider_does_the_whole_life_of_a_flow(kestra: Kestra):
    provider = FlowProvider()
    created = provider.create(PROPS)
    assert isinstance(created, CreateResult)
    assert created.outs is not None
    assert provider.diff(KEY, created.outs, props(source=OTHER_TEXT)).changes
    updated = provider.update(KEY, created.outs, props(source=OTHER_TEXT))
    assert isinstance(updated, UpdateResult)
    assert updated.outs == props(source=OTHER_TEXT, revision=2)
    read = provider.read(KEY, updated.outs)
    assert isinstance(read, ReadResult)
    assert read.outs == updated.outs
    provider.delete(KEY, read.outs)
    assert kestra.flows == {}


def test_the_password_of_a_flow_is_a_secret_and_its_text_is_not():
    (flow,) = run(lambda: Flow(KEY, **PROPS)).all(FLOW)
    assert props(password="[secret]").items() <= flow.plain.items()


def test_the_provider_stays_small_in_the_state_and_is_found_by_its_name():
    pickled = base64.b64decode(serialize_provider(FlowProvider()))
    assert len(pickled) < 2000
    # Stacks that exist find their provider under this name: moving it would leave them behind.
    assert b"infra.kestra.provider" in pickled
    assert isinstance(pickle.loads(pickled), FlowProvider)
    # Where the provider holds nothing there is no secret that the engine must encrypt.
    assert vars(FlowProvider()) == {}
    assert FlowProvider.serialize_as_secret_always is False
