"""The client of Kestra's API, with a server in the same process."""

import email
from collections.abc import Callable
from itertools import chain, repeat
from urllib.parse import quote

import httpx
import pytest

from infra.kestra.client import KestraClient
from infra.kestra.errors import InvalidContent, KestraError, Unavailable
from infra.kestra.lifecycle.base import constraints

PASSWORD = "Secret1-of-the-login"
FLOW = {"id": "hello", "namespace": "demo", "revision": 3, "source": "id: größe\n"}

Answer = httpx.Response | Exception


class Server:
    """Gives its answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: Answer, configs: httpx.Response | None = None) -> None:
        self._answers = chain(answers, repeat(answers[-1]))
        self._configs = configs or httpx.Response(200, json={"version": "1.3.0"})
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/configs":
            return self._configs
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def lines(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    @property
    def client(self) -> KestraClient:
        transport = httpx.MockTransport(self)
        return KestraClient(
            "http://localhost:8080/", "admin@example.com", PASSWORD, wait=0.2, transport=transport
        )


def json(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.mark.parametrize(
    ("version", "root"),
    [
        ("0.20.7", "/api/v1"),
        ("0.22.15", "/api/v1"),
        ("0.23.0", "/api/v1/main"),
        ("1.3.0", "/api/v1/main"),
        ("2.0.0-SNAPSHOT", "/api/v1/main"),
    ],
)
def test_the_tenant_is_found_from_the_version(version: str, root: str):
    server = Server(json(FLOW), configs=json({"version": version}))
    server.client.get_flow("demo", "hello")
    assert server.lines == [f"GET {root}/flows/demo/hello?source=true"]


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        (json({}), 'http://localhost:8080 has the version "": is it Kestra?'),
        (
            json({"version": "latest"}),
            'http://localhost:8080 has the version "latest": is it Kestra?',
        ),
        (
            httpx.Response(200, html="<h1>Welcome to nginx!</h1>"),
            "GET /api/v1/configs: status 200: is it Kestra? It answers with a page: "
            "Welcome to nginx!",
        ),
        (
            httpx.Response(200, text="Welcome!"),
            "GET http://localhost:8080/api/v1/configs: status 200: the answer is not a JSON "
            "object: is it Kestra?",
        ),
        (
            json(["Welcome!"]),
            "GET http://localhost:8080/api/v1/configs: status 200: the answer is not a JSON "
            "object: is it Kestra?",
        ),
    ],
)
def test_another_server_at_the_address_is_found_out(configs: httpx.Response, message: str):
    with pytest.raises(KestraError) as caught:
        Server(json(FLOW), configs=configs).client.get_flow("demo", "hello")
    assert str(caught.value) == message


def test_requests_carry_the_login():
    server = Server(json(FLOW))
    with server.client as client:
        client.get_flow("demo", "hello")
    login = httpx.BasicAuth("admin@example.com", PASSWORD)
    expected = next(login.auth_flow(httpx.Request("GET", "http://localhost")))
    assert server.requests[0].headers["Authorization"] == expected.headers["Authorization"]


def test_get_flow_distinguishes_a_missing_flow_from_an_error():
    client = Server(json(FLOW), json({"message": "Not Found"}, 404)).client
    assert client.get_flow("demo", "hello") == FLOW
    assert client.get_flow("demo", "hello") is None


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        (
            lambda client: client.create_flow("demo", "hello", "id: größe\n"),
            ["POST /api/v1/main/flows"],
        ),
        (
            lambda client: client.update_flow("demo", "hello", "id: größe\n"),
            ["GET /api/v1/main/flows/demo/hello", "PUT /api/v1/main/flows/demo/hello"],
        ),
    ],
)
def test_flows_are_sent_as_their_authors_wrote_them(
    call: Callable[[KestraClient], object], lines: list[str]
):
    server = Server(json(FLOW))
    assert call(server.client) == FLOW
    assert server.lines == lines
    assert server.requests[-1].headers["Content-Type"] == "application/x-yaml"
    assert server.requests[-1].content == "id: größe\n".encode()


@pytest.mark.parametrize("status", [204, 404])
def test_delete_flow_accepts_that_the_flow_is_gone(status: int):
    server = Server(httpx.Response(status))
    server.client.delete_flow("demo", "hello")
    assert server.lines == ["DELETE /api/v1/main/flows/demo/hello"]


@pytest.mark.parametrize(
    ("results", "validation", "errors"),
    [
        ([], {}, []),
        ([{"index": 0, "warnings": ["slow"]}], {"index": 0, "warnings": ["slow"]}, []),
        (
            [{"constraints": "Invalid type: x.Y\n"}],
            {"constraints": "Invalid type: x.Y\n"},
            ["Invalid type: x.Y"],
        ),
        ([{"constraints": None}], {"constraints": None}, []),
        ([{"errors": ["one", "two"]}], {"errors": ["one", "two"]}, ["one", "two"]),
    ],
)
def test_validate_flow_returns_what_the_server_finds_wrong(
    results: object, validation: dict[str, object], errors: list[str]
):
    server = Server(json(results))
    assert server.client.validate_flow("id: hello") == validation
    assert constraints(validation) == errors
    assert server.lines == ["POST /api/v1/main/flows/validate"]
    assert server.requests[0].headers["Content-Type"] == "application/x-yaml"


def test_create_execution_sends_a_multipart_form():
    server = Server(json({"id": "1"}))
    inputs = {"taxi": "yellow", "note": 'größe = 1\n"2"'}
    assert server.client.create_execution("demo", "hello", inputs) == {"id": "1"}
    assert server.lines == ["POST /api/v1/main/executions/demo/hello"]
    request = server.requests[0]
    content_type = request.headers["Content-Type"]
    assert content_type.startswith("multipart/form-data; boundary=")
    form = email.message_from_bytes(f"Content-Type: {content_type}\n\n".encode() + request.content)
    assert {
        part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True)
        for part in form.walk()
        if not part.is_multipart()
    } == {name: value.encode() for name, value in inputs.items()}


def test_create_execution_without_inputs_has_no_body():
    server = Server(json({"id": "1"}))
    server.client.create_execution("demo", "hello", {})
    assert server.requests[0].content == b""


def test_the_last_execution_and_the_log_are_asked_with_filters_since_2_0():
    configs = json({"version": "2.0.0"})
    server = Server(json({"results": [{"id": "1"}]}), json([]), configs=configs)
    client = server.client
    assert client.last_execution("demo", "hello") == {"id": "1"}
    assert client.get_logs("1") == []
    search, logs = (request.url for request in server.requests)
    assert search.path == "/api/v1/main/executions/search"
    assert dict(search.params) == {
        "filters[namespace][EQUALS]": "demo",
        "filters[flowId][EQUALS]": "hello",
        "sort": "state.startDate:desc",
        "size": "1",
    }
    assert dict(logs.params) == {"filters[level][GREATER_THAN_OR_EQUAL_TO]": "INFO"}


@pytest.mark.parametrize("version", ["1.3.0", "2.0.0"])
def test_whoever_reads_a_log_again_and_again_asks_for_the_version_once(version: str):
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return json({"version": version} if request.url.path == "/api/v1/configs" else [])

    transport = httpx.MockTransport(answer)
    with KestraClient("http://localhost:8080", "user", PASSWORD, transport=transport) as client:
        for _ in range(3):
            client.get_logs("1")
    assert asked == ["/api/v1/configs", *["/api/v1/main/logs/1"] * 3]


def test_an_execution_and_its_log_are_read():
    line = {"timestamp": "2026-11-24T01:45:12.928Z", "level": "INFO", "message": "Hello"}
    server = Server(json({"id": "1"}), json([line]))
    client = server.client
    assert client.get_execution("1") == {"id": "1"}
    assert client.get_logs("1") == [line]
    assert server.lines == [
        "GET /api/v1/main/executions/1",
        "GET /api/v1/main/logs/1?minLevel=INFO",
    ]


REPEATABLE: dict[str, Callable[[KestraClient], object]] = {
    "get": lambda client: client.get_flow("demo", "hello"),
    "delete": lambda client: client.delete_flow("demo", "hello"),
    "validate": lambda client: client.validate_flow("id: hello"),
}
CREATING: dict[str, Callable[[KestraClient], object]] = {
    "flow": lambda client: client.create_flow("demo", "hello", "id: hello"),
    "execution": lambda client: client.create_execution("demo", "hello", {"a": "b"}),
}
NEVER_ARRIVED = [
    httpx.ConnectError("Connection refused"),
    httpx.ConnectTimeout("timed out"),
    httpx.Response(503, html="<h1>Service Unavailable</h1>"),
]
MAY_HAVE_ARRIVED = [
    httpx.ReadError("Connection reset by peer"),
    httpx.ReadTimeout("timed out"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    httpx.Response(502),
    httpx.Response(504),
]


@pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
@pytest.mark.parametrize("failure", [*NEVER_ARRIVED, *MAY_HAVE_ARRIVED], ids=repr)
def test_what_is_safe_to_repeat_is_repeated(
    call: Callable[[KestraClient], object], failure: Answer
):
    answer = json([] if call is REPEATABLE["validate"] else FLOW)
    server = Server(failure, failure, answer)
    call(server.client)
    assert server.lines == [server.lines[0]] * 3
    assert len({request.content for request in server.requests}) == 1


REPLACING: dict[str, tuple[Callable[[KestraClient], object], str]] = {
    "flow": (
        lambda client: client.update_flow("demo", "hello", "id: hello"),
        "/api/v1/main/flows/demo/hello",
    ),
    "dashboard": (
        lambda client: client.update_dashboard("loads", "id: loads"),
        "/api/v1/main/dashboards/loads",
    ),
}
replacing = pytest.mark.parametrize(("call", "path"), REPLACING.values(), ids=REPLACING)


@replacing
@pytest.mark.parametrize("failure", [*NEVER_ARRIVED, *MAY_HAVE_ARRIVED], ids=repr)
def test_what_is_replaced_is_read_before_every_attempt(
    call: Callable[[KestraClient], object], path: str, failure: Answer
):
    server = Server(json(FLOW), failure, json(FLOW), failure, json(FLOW))
    call(server.client)
    assert server.lines == [f"GET {path}", f"PUT {path}"] * 3
    assert {request.content for request in server.requests[1::2]} == {server.requests[1].content}


@replacing
@pytest.mark.parametrize("answers", [[], [json(FLOW), httpx.ReadError("reset")]], ids=len)
def test_what_is_gone_is_not_replaced(
    call: Callable[[KestraClient], object], path: str, answers: list[Answer]
):
    server = Server(*answers, json({"message": "Not Found"}, 404))
    with pytest.raises(KestraError, match=f"^GET {path}: status 404: Not Found$"):
        call(server.client)
    assert server.lines == [*[f"GET {path}", f"PUT {path}"][: len(answers)], f"GET {path}"]


STRAY = ["..", ".", "a/../b", "%2e%2e/a", "%252e%252e%252fa", "a\\..", "a\0", "a%00", "a\n"]
NAMING: dict[str, Callable[[KestraClient, str], object]] = {
    "flow": lambda client, name: client.get_flow("demo", name),
    "namespace": lambda client, name: client.get_flow(name, "hello"),
    "file": lambda client, name: client.put_file("demo", name, b""),
    "namespace of a file": lambda client, name: client.get_file(name, "a"),
    "key": lambda client, name: client.put_key_value("demo", name, "1", None),
    "dashboard": lambda client, name: client.delete_dashboard(name),
    "execution": lambda client, name: client.create_execution("demo", name, {}),
}


@pytest.mark.parametrize("call", NAMING.values(), ids=NAMING)
@pytest.mark.parametrize("name", STRAY, ids=repr)
def test_a_name_that_leads_elsewhere_is_not_sent(
    call: Callable[[KestraClient, str], object], name: str
):
    server = Server(json(FLOW))
    with pytest.raises(InvalidContent, match="not sent, as it has an invalid name"):
        call(server.client, name)
    assert server.lines == []


@pytest.mark.parametrize("name", ["a..b", "..a", "a.", "100%", "a/b", "größe"])
def test_a_name_with_dots_or_escapes_in_it_is_sent(name: str):
    server = Server(json(FLOW))
    server.client.delete_dashboard(name)
    assert server.lines == [f"DELETE /api/v1/main/dashboards/{quote(name, safe='')}"]


@pytest.mark.parametrize("call", CREATING.values(), ids=CREATING)
@pytest.mark.parametrize("failure", NEVER_ARRIVED, ids=repr)
def test_a_creation_is_repeated_if_it_never_arrived(
    call: Callable[[KestraClient], object], failure: Answer
):
    server = Server(failure, failure, json(FLOW))
    assert call(server.client) == FLOW
    assert len(server.requests) == 3


@pytest.mark.parametrize("failure", MAY_HAVE_ARRIVED, ids=repr)
def test_an_execution_is_not_repeated_if_it_may_have_arrived(failure: Answer):
    server = Server(failure, json(FLOW))
    with pytest.raises(KestraError, match=r": (no answer from|status 50[24]:) "):
        CREATING["execution"](server.client)
    assert len(server.requests) == 1


CREATE, LOOK = "POST /api/v1/main/flows", "GET /api/v1/main/flows/demo/hello?source=true"
MISSING = json({"message": "Not Found"}, 404)
EXISTS = json({"message": "flow.id: Flow id already exists"}, 422)
STORED = json({**FLOW, "source": "id: hello"})
# A lost answer looks like this too: cut in its middle, or replaced by a proxy.
LOST = [*MAY_HAVE_ARRIVED, httpx.Response(500), httpx.Response(200, html="<p>"), json(["cut"])]


@pytest.mark.parametrize("failure", LOST, ids=repr)
@pytest.mark.parametrize(
    ("answers", "lines"),
    [
        ([STORED], [CREATE, LOOK]),
        ([MISSING, json(FLOW)], [CREATE, LOOK, CREATE]),
        # It came to be there after the first look.
        ([MISSING, EXISTS, STORED], [CREATE, LOOK, CREATE, LOOK]),
    ],
    ids=["arrived", "did not arrive", "arrived late"],
)
def test_a_flow_whose_answer_is_lost_is_looked_for_before_it_is_sent_again(
    failure: Answer, answers: list[Answer], lines: list[str]
):
    server = Server(failure, *answers)
    assert server.client.create_flow("demo", "hello", "id: hello")["revision"] == 3
    assert server.lines == lines


def test_a_flow_that_somebody_else_created_is_not_taken_for_the_own_one():
    server = Server(httpx.ReadError("reset"), json(FLOW), EXISTS, json(FLOW))
    with pytest.raises(KestraError, match="Flow id already exists"):
        CREATING["flow"](server.client)


def test_a_flow_is_sent_three_times_at_most():
    answers = [httpx.Response(500, text="disk full"), MISSING] * 3
    server = Server(*answers)
    with pytest.raises(KestraError, match="POST /api/v1/main/flows: status 500: disk full"):
        CREATING["flow"](server.client)
    assert server.lines == [CREATE, LOOK] * 3


def test_a_dashboard_whose_answer_is_lost_is_looked_for_before_it_is_sent_again():
    held = json({"sourceCode": "id: a b\n"})
    server = Server(httpx.ReadError("reset"), MISSING, httpx.ReadError("reset"), held)
    server.client.create_dashboard("a b", "id: a b\n")
    look = "GET /api/v1/main/dashboards/a%20b"
    assert server.lines == ["POST /api/v1/main/dashboards", look] * 2


@pytest.mark.parametrize(
    ("version", "status", "expected", "requests"),
    [
        ("0.20.7", 200, False, 0),
        ("0.24.9", 200, False, 0),
        ("1.0.0", 200, True, 1),
        ("2.0.0-SNAPSHOT", 200, True, 1),
        ("1.3.0", 404, False, 1),
        ("1.3.0", 501, False, 1),
    ],
)
def test_whether_a_server_has_dashboards_is_asked_once(
    version: str, status: int, expected: bool, requests: int
):
    server = Server(json({}, status), configs=json({"version": version}))
    client = server.client
    assert client.has_dashboards is expected
    assert client.has_dashboards is expected
    assert server.lines == ["GET /api/v1/main/dashboards?size=1"] * requests


@pytest.mark.parametrize("status", [204, 404, 409])
def test_delete_dashboard_is_content_with_one_that_is_gone(status: int):
    server = Server(json({"message": "Dashboard loads doesn't exists"}, status))
    server.client.delete_dashboard("loads")
    assert server.lines == ["DELETE /api/v1/main/dashboards/loads"]


def test_a_server_that_is_busy_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    answers = [
        httpx.Response(status, headers={"Retry-After": seconds})
        for status, seconds in ((429, "7"), (503, "3600"), (429, "Wed, 21 Oct 2026 07:28:00 GMT"))
    ]
    server = Server(*answers, json(FLOW))
    assert CREATING["flow"](server.client) == FLOW
    assert pauses[:2] == [7, 30]
    assert 0 <= pauses[2] <= 5


def test_pauses_between_attempts_grow_and_differ(monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    Server(*[httpx.ConnectError("refused")] * 12, json(FLOW)).client.get_flow("demo", "hello")
    assert max(pauses[:3]) <= 0.8
    assert max(pauses) <= 5
    assert len(set(pauses)) > 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_what_the_server_refuses_is_not_repeated(status: int):
    server = Server(json(FLOW), json({"message": "no"}, status))
    with pytest.raises(KestraError) as caught:
        server.client.update_flow("demo", "hello", "id: hello")
    assert [request.method for request in server.requests] == ["GET", "PUT"]
    assert not caught.value.is_uncertain


def test_an_error_of_the_server_is_repeated_three_times():
    failure = json({"message": "disk full"}, 500)
    server = Server(json(FLOW), failure, json(FLOW), failure, json(FLOW), failure)
    with pytest.raises(KestraError, match="status 500: disk full"):
        server.client.update_flow("demo", "hello", "id: hello")
    assert [request.method for request in server.requests] == ["GET", "PUT"] * 3


def test_connecting_tries_the_login_too():
    server = Server(httpx.Response(401))
    with pytest.raises(KestraError, match="the user name or the password is wrong"):
        server.client.connect()
    assert server.lines == ["GET /api/v1/main/flows/search?size=1"]


def test_the_revisions_of_a_namespace_are_one_request():
    server = Server(json([FLOW, {**FLOW, "id": "other", "revision": 1}]))
    assert server.client.list_revisions("demo") == {"hello": 3, "other": 1}
    assert server.lines == ["GET /api/v1/main/flows/demo"]


def test_flows_are_deleted_in_one_request_or_one_by_one_if_one_is_gone():
    server = Server(json({"count": 2}))
    server.client.delete_flows("demo", ["a", "b"])
    assert server.lines == ["DELETE /api/v1/main/flows/delete/by-ids"]
    server = Server(MISSING)
    server.client.delete_flows("demo", ["a", "b"])
    assert server.lines == [
        "DELETE /api/v1/main/flows/delete/by-ids",
        "DELETE /api/v1/main/flows/demo/a",
        "DELETE /api/v1/main/flows/demo/b",
    ]


def test_namespace_files_are_named_by_their_path():
    server = Server(httpx.Response(200, content=b"\x00"), MISSING, httpx.Response(204))
    client = server.client
    assert client.get_file("demo", "a b/größe&x.sql") == b"\x00"
    assert client.get_file("demo", "a.sql") is None
    client.put_file("demo", "a.zip", b"PK")
    client.delete_file("demo", "a.sql")
    root = "/api/v1/main/namespaces/demo/files?path="
    assert server.lines == [
        f"GET {root}a%20b/gr%C3%B6%C3%9Fe%26x.sql",
        f"GET {root}a.sql",
        f"POST {root}a.zip",
        f"DELETE {root}a.sql",
    ]
    # Kestra unpacks what is sent as *.zip.
    assert b'filename="file"' in server.requests[2].content


def test_key_values_are_sent_as_plain_text():
    server = Server(httpx.Response(200), json({"type": "STRING", "value": "x"}))
    client = server.client
    client.put_key_value("demo", "key", '"größe"', "PT1H")
    assert client.get_key_value("demo", "key") == {"type": "STRING", "value": "x"}
    put = server.requests[0]
    assert (put.headers["Content-Type"], put.headers["ttl"]) == ("text/plain", "PT1H")
    assert put.content == '"größe"'.encode()
    assert server.lines[0] == "PUT /api/v1/main/namespaces/demo/kv/key"


@pytest.mark.parametrize("status", [404, 410])
def test_a_key_that_is_gone_or_has_expired_is_none(status: int):
    client = Server(httpx.Response(status)).client
    assert client.get_key_value("demo", "key") is None


def test_a_server_that_does_not_answer_is_given_up_in_time():
    server = Server(httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(KestraError) as caught:
        server.client.get_flow("demo", "hello")
    assert str(caught.value) == (
        "GET /api/v1/main/flows/demo/hello: no answer from http://localhost:8080 within 0 s "
        "([Errno 111] Connection refused); see the server's log"
    )
    assert caught.value.status is None
    assert isinstance(caught.value, Unavailable)
    assert len(server.requests) > 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(401), "status 401: the user name or the password is wrong"),
        (json({"message": "Not Found"}, 404), "status 404: Not Found"),
        (
            json({"message": "Invalid entity: flow.id: Flow id already exists\n"}, 422),
            "status 422: Invalid entity: flow.id: Flow id already exists",
        ),
        (
            json({"message": "Internal Server Error: x"}, 500),
            "status 500: Internal Server Error: x",
        ),
        (httpx.Response(500, html="<h1>Oops</h1>\n"), "status 500: Oops"),
        (
            httpx.Response(403, html="<h1>Forbidden</h1>\n"),
            "status 403: is it Kestra? It answers with a page: Forbidden",
        ),
        (httpx.Response(500, text="x" * 1000), f"status 500: {'x' * 200}"),
        (httpx.Response(500), "status 500: Internal Server Error"),
        (json(["no", "mapping"], 400), 'status 400: ["no","mapping"]'),
        (json("text", 400), 'status 400: "text"'),
        (json({"error": "other"}, 400), 'status 400: {"error":"other"}'),
        (httpx.Response(503, text="Starting"), "status 503: Starting"),
        (httpx.Response(504), "status 504: Gateway Timeout"),
        (httpx.Response(302), "status 302: Found"),
    ],
    ids=repr,
)
def test_a_refusal_has_the_message_of_the_server(answer: httpx.Response, message: str):
    with pytest.raises(KestraError) as caught:
        Server(answer).client.create_execution("demo", "hello", {})
    assert str(caught.value) == f"POST /api/v1/main/executions/demo/hello: {message}"
    assert caught.value.status == answer.status_code
    assert isinstance(caught.value, Unavailable) is (answer.status_code in (502, 503, 504))


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectError("refused"), httpx.Response(401), httpx.Response(200, text="no JSON")],
    ids=repr,
)
def test_no_error_holds_the_password(answer: Answer):
    with pytest.raises(KestraError) as caught:
        Server(answer).client.create_flow("demo", "hello", "id: hello")
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__
