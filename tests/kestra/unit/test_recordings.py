"""The client against recorded answers of real servers, where `../shared` has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.kestra.client import KestraClient
from infra.kestra.errors import InvalidContent, KestraError
from infra.kestra.lifecycle.base import constraints
from infra.kestra.lifecycle.flow import validate_flow, write_flow
from infra.kestra.lifecycle.key_value import lifecycle as key_value
from infra.kestra.source import FlowSource, dashboard_id, is_same_text

SHARED = Path(__file__).parents[4] / "shared"
FOLDERS = {"1.3": SHARED / "kestra-api-1.3", "2.0": SHARED / "kestra-api-2.0/answers"}
NAMESPACE = "demo.measure"


@dataclass(frozen=True)
class Recording:
    """One request and its answer."""

    line: str
    text: str
    answer: httpx.Response

    @classmethod
    def read(cls, release: str, number: int) -> Recording:
        (path,) = FOLDERS[release].glob(f"{number:02}-*.txt")
        content = path.read_text()
        if release == "1.3":
            # Each with its headers.
            request, _, response = content.partition("\n<<< RESPONSE")
            head, _, text = request.partition("\n\n")
            line = head.splitlines()[1]
            status, answer = response.split("HTTP/1.1 ")[1].partition("\n\n")[::2]
        else:
            request, status, answer = re.split(r"\n(\d{3})(?:\n|\Z)", content, maxsplit=1)
            line, _, text = request.partition("\n")
        method, url = line.split()
        answer = answer.strip("\n")
        kind = "text/event-stream" if answer.startswith("id: ") else "application/json"
        return cls(
            f"{method} {httpx.URL(url).path}",
            text.strip("\n"),
            httpx.Response(int(status[:3]), text=answer, headers={"Content-Type": kind}),
        )


class Server:
    """Answers as a server of a release did, to the requests that it was sent."""

    def __init__(self, release: str) -> None:
        self.release = release
        self._next: list[Recording] = []

    def expect(self, *numbers: int) -> list[str]:
        """Lets the next requests be those of some recordings, and returns their texts."""
        assert not self._next
        self._next = [Recording.read(self.release, number) for number in numbers]
        return [recording.text for recording in self._next]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/configs":
            return Recording.read(self.release, 1).answer
        recording = self._next.pop(0)
        assert f"{request.method} {request.url.path}" == recording.line
        if (kind := request.headers.get("Content-Type", "")) and "multipart" not in kind:
            assert _dense(request.content.decode()) == _dense(recording.text)
        return recording.answer


def _dense(text: str) -> str:
    """Leaves out the spaces, which JSON may have or not."""
    return re.sub(r"\s", "", text)


@pytest.fixture(params=[release for release in FOLDERS if FOLDERS[release].is_dir()])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


@pytest.fixture
def client(server: Server) -> Iterator[KestraClient]:
    transport = httpx.MockTransport(server)
    yield KestraClient("http://localhost:8080", "user", "secret", wait=0, transport=transport)
    assert not server._next, "requests that the client did not send"


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(KestraError) as caught:
        call()
    return str(caught.value)


def test_the_version_decides_what_the_server_takes(server: Server, client: KestraClient) -> None:
    assert client.version.startswith(server.release)
    assert client.is_kestra_1 is (server.release == "1.3")


def test_a_login_is_checked(server: Server, client: KestraClient) -> None:
    server.expect(60)
    client.connect()
    server.expect(190)
    assert "status 401: the user name or the password is wrong" in refused(client.connect)


def test_flows_are_created_and_updated(server: Server, client: KestraClient) -> None:
    (text,) = server.expect(10)
    created = client.create_flow(NAMESPACE, "s1", text)
    assert created["revision"] == 1
    assert is_same_text(created["source"].strip(), text)
    _, text = server.expect(51, 42)
    assert client.update_flow(NAMESPACE, "s1", text)["revision"] == 2
    _, text = server.expect(51, 43)
    assert client.update_flow(NAMESPACE, "s1", text)["revision"] == 2
    server.expect(52)
    found = client.get_flow(NAMESPACE, "s1")
    assert found
    assert "\nid: s1\n" in found["source"]
    server.expect(64)
    assert {"s1": 3, "s2": 1}.items() <= client.list_revisions(NAMESPACE).items()


def test_a_flow_that_does_not_exist_is_none(server: Server, client: KestraClient) -> None:
    server.expect(55)
    assert client.get_flow(NAMESPACE, "doesnotexist") is None
    server.expect(65)
    assert client.list_revisions("no.such.ns") == {}
    server.expect(55)
    assert "status 404" in refused(lambda: client.update_flow(NAMESPACE, "doesnotexist", "id: a"))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (11, "status 422: Invalid entity: flow.id: Flow id already exists"),
        (21, "status 422: Invalid entity: Invalid type: io.kestra.plugin.nope.Nothing"),
        (22, 'status 422: Invalid entity: Unrecognized field "bogusProp"'),
        (25, "status 422: Invalid entity: tasks: must not be empty"),
    ],
)
def test_a_refused_flow_is_an_error_with_the_reason(
    server: Server, client: KestraClient, number: int, message: str
) -> None:
    (text,) = server.expect(number)
    assert message in refused(lambda: client.create_flow(NAMESPACE, "s3", text))


def test_unknown_keys_are_refused_before_an_update_that_would_keep_them(
    server: Server, client: KestraClient
) -> None:
    # 1.3 takes them; that of 2.0 is the second line of defense.
    _, text = server.expect(51, 275)
    if server.release == "1.3":
        assert client.update_flow(NAMESPACE, "s1", text)["revision"]
    else:
        assert 'Unrecognized field "bogusProp"' in refused(
            lambda: client.update_flow(NAMESPACE, "s1", text)
        )
    _, text = server.expect(52, 38)
    flow = FlowSource(NAMESPACE, "s1", text)
    with pytest.raises(InvalidContent, match='Unrecognized field "bogusProp"'):
        write_flow(client, flow, None, adopt=True, overwrite=False)


def test_validations_give_their_reasons(server: Server, client: KestraClient) -> None:
    (text,) = server.expect(31)
    assert constraints(client.validate_flow(text)) == []
    (text,) = server.expect(34)
    assert constraints(client.validate_flow(text)) == [
        "Validation error: Invalid type: io.kestra.nope.X"
    ]
    (text,) = server.expect(36)
    assert constraints(client.validate_flow(text)) == [
        "Validation error: namespace: must not be null"
    ]


def test_a_deprecated_type_is_a_remark_before_2_and_an_error_since(
    server: Server, client: KestraClient, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = server.expect(39)
    flow = FlowSource(NAMESPACE, "s3", text)
    errors = validate_flow(client, flow, "earlier", place="s3.yaml", adopt=False)
    if server.release == "1.3":
        assert errors == []
        assert "s3.yaml: info: io.kestra.core.tasks.log.Log is replaced by" in (
            capsys.readouterr().err
        )
    else:
        assert errors == ["Validation error: Invalid type: io.kestra.core.tasks.log.Log"]


def test_flows_are_deleted_even_if_some_are_gone(server: Server, client: KestraClient) -> None:
    server.expect(87)
    client.delete_flow(NAMESPACE, "s2")
    server.expect(88)
    client.delete_flow(NAMESPACE, "s2")
    server.expect(82)
    client.delete_flows("demo.bulk2", ["g2"])


def test_files_are_written_read_and_deleted(server: Server, client: KestraClient) -> None:
    server.expect(95)
    client.put_file(NAMESPACE, "/dir1/one.txt", b"file one")
    server.expect(98)
    assert client.get_file(NAMESPACE, "/dir1/one.txt")
    server.expect(99)
    assert client.get_file(NAMESPACE, "/nope.txt") is None
    server.expect(110)
    client.delete_file(NAMESPACE, "/dir1/moved.txt")
    server.expect(111)
    client.delete_file(NAMESPACE, "/dir1/moved.txt")


def test_key_values_are_set_and_deleted(server: Server, client: KestraClient) -> None:
    (form,) = server.expect(114)
    client.put_key_value(NAMESPACE, "k1b", form, ttl=None)
    (form,) = server.expect(119)
    client.put_key_value(NAMESPACE, "k5", form, ttl=None)
    for number in (132, 133):
        server.expect(number)
        client.delete_key_value(NAMESPACE, "k1")
    server.expect(130)
    assert client.get_key_value(NAMESPACE, "nope") is None


@pytest.mark.parametrize(
    ("number", "key", "type_", "value"),
    [
        (338, "o1", "JSON", '{"a": [1, 2]}'),
        (339, "s1", "STRING", "hello"),
        (340, "n1", "NUMBER", "42"),
        (341, "n2", "NUMBER", "0.01"),
        (342, "b1", "BOOLEAN", "true"),
        (343, "d1", "DATE", "2024-01-02"),
        (344, "dt1", "DATETIME", "2024-01-02T03:04:05Z"),
        (345, "du1", "DURATION", "PT5M"),
    ],
)
def test_a_key_value_is_what_was_set(
    server: Server, client: KestraClient, number: int, key: str, type_: str, value: str
) -> None:
    server.expect(number)
    found = key_value.find(client, f"{NAMESPACE}/{key}")
    assert found
    assert key_value.is_same(found, {"type": type_, "value": value})


def test_dashboards_are_created_updated_and_deleted(server: Server, client: KestraClient) -> None:
    server.expect(220)
    assert client.has_dashboards
    server.expect(221)
    assert client.get_dashboard("loads") is None
    (text,) = server.expect(231)
    client.create_dashboard(dashboard_id(text), text)
    (text,) = server.expect(232)
    assert "status 422: Invalid entity: dashboard.id: Dashboard id already exists" in refused(
        lambda: client.create_dashboard(dashboard_id(text), text)
    )
    server.expect(237)
    assert dashboard_id(str(client.get_dashboard("loads"))) == "loads"
    _, text = server.expect(237, 238)
    client.update_dashboard("loads", text)
    for number in (267, 268):
        server.expect(number)
        client.delete_dashboard("loads")


def test_a_dashboard_is_validated(server: Server, client: KestraClient) -> None:
    (text,) = server.expect(222)
    assert constraints(client.validate_dashboard(text)) == []
    (text,) = server.expect(223)
    assert 'Unrecognized field "' in str(constraints(client.validate_dashboard(text)))


def test_an_execution_is_started_and_looked_at(server: Server, client: KestraClient) -> None:
    server.expect(135)
    started = client.create_execution(NAMESPACE, "s1", {})
    assert started["state"]["current"] in ("CREATED", "RUNNING")
    assert started["url"].endswith(started["id"])
    server.expect(136)
    (run,) = client.get_execution(started["id"])["taskRunList"]
    assert run["taskId"] == "log"
    server.expect(144)
    (line,) = client.get_logs(started["id"])
    assert (line["level"], line["taskRunId"], line["message"]) == ("INFO", run["id"], "second")
    server.expect(143 if server.release == "1.3" else 142)
    last = client.last_execution(NAMESPACE, "s1")
    assert last
    assert last["state"]["current"] == "SUCCESS"
    server.expect(141)
    assert "status 404" in refused(lambda: client.get_execution("doesnotexist"))


def test_a_missing_input_is_an_error_with_the_reason(server: Server, client: KestraClient) -> None:
    server.expect(150)
    assert "status 422: Invalid entity: Missing required input:name" in refused(
        lambda: client.create_execution(NAMESPACE, "inp", {"num": "7"})
    )


@pytest.mark.parametrize("number", [202, 429, 430])
def test_an_execution_is_followed_to_its_end(number: int) -> None:
    # 2.0 has not been recorded at this.
    if not FOLDERS["1.3"].is_dir():
        pytest.skip("no recording")
    server = Server("1.3")
    server.expect(number)
    transport = httpx.MockTransport(server)
    with KestraClient("http://localhost:8080", "user", "secret", transport=transport) as client:
        execution_id = Recording.read("1.3", number).line.split("/")[-2]
        states = [
            execution["state"]["current"]
            for execution in client.follow_execution(execution_id)
            if "state" in execution
        ]
    assert states[-1] in ("SUCCESS", "WARNING", "FAILED")
