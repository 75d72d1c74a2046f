"""The client of Kestra's API, with a server in the same process."""

import email
from collections.abc import Callable
from itertools import chain, repeat

import httpx
import pytest

from infra.kestra.api import KestraClient, KestraError

PASSWORD = "Secret1-of-the-login"
FLOW = {"id": "hello", "namespace": "demo", "revision": 3, "source": "id: größe\n"}

Answer = httpx.Response | Exception


class Server:
    """Gives its answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: Answer, configs: httpx.Response | None = None) -> None:
        self._answers = chain(answers, repeat(answers[-1]))
        self._configs = configs or httpx.Response(200, json={"version": "1.3.34"})
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
        ("1.3.34", "/api/v1/main"),
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
        (json({}), 'http://localhost:8080 says "" of its version: is it Kestra?'),
        (
            json({"version": "latest"}),
            'http://localhost:8080 says "latest" of its version: is it Kestra?',
        ),
        (
            httpx.Response(200, html="<h1>Welcome to nginx!</h1>"),
            "GET http://localhost:8080/api/v1/configs: the answer is no JSON: is it Kestra?",
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


def test_get_flow_tells_a_missing_one_from_an_error():
    client = Server(json(FLOW), json({"message": "Not Found"}, 404)).client
    assert client.get_flow("demo", "hello") == FLOW
    assert client.get_flow("demo", "hello") is None


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda client: client.create_flow("id: größe\n"), "POST /api/v1/main/flows"),
        (
            lambda client: client.update_flow("demo", "hello", "id: größe\n"),
            "PUT /api/v1/main/flows/demo/hello",
        ),
    ],
)
def test_flows_are_sent_as_their_authors_wrote_them(
    call: Callable[[KestraClient], object], line: str
):
    server = Server(json(FLOW))
    assert call(server.client) == FLOW
    assert server.lines == [line]
    assert server.requests[0].headers["Content-Type"] == "application/x-yaml"
    assert server.requests[0].content == "id: größe\n".encode()


@pytest.mark.parametrize("status", [204, 404])
def test_delete_flow_is_content_with_a_flow_that_is_gone(status: int):
    server = Server(httpx.Response(status))
    server.client.delete_flow("demo", "hello")
    assert server.lines == ["DELETE /api/v1/main/flows/demo/hello"]


@pytest.mark.parametrize(
    ("results", "faults"),
    [
        ([], None),
        ([{"flow": "hello", "index": 0, "outdated": False, "warnings": ["slow"]}], None),
        ([{"index": 0, "constraints": "Invalid type: x.Y\n"}], "Invalid type: x.Y"),
        ([{"constraints": "one"}, {"constraints": None}, {"constraints": "two"}], "one\ntwo"),
    ],
)
def test_validate_flow_returns_what_the_server_finds_wrong(results: object, faults: str | None):
    server = Server(json(results))
    assert server.client.validate_flow("id: hello") == faults
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
    "update": lambda client: client.update_flow("demo", "hello", "id: hello"),
    "delete": lambda client: client.delete_flow("demo", "hello"),
    "validate": lambda client: client.validate_flow("id: hello"),
}
CREATING: dict[str, Callable[[KestraClient], object]] = {
    "flow": lambda client: client.create_flow("id: hello"),
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


@pytest.mark.parametrize("call", CREATING.values(), ids=CREATING)
@pytest.mark.parametrize("failure", NEVER_ARRIVED, ids=repr)
def test_what_creates_is_repeated_where_it_never_arrived(
    call: Callable[[KestraClient], object], failure: Answer
):
    server = Server(failure, failure, json(FLOW))
    assert call(server.client) == FLOW
    assert len(server.requests) == 3


@pytest.mark.parametrize("call", CREATING.values(), ids=CREATING)
@pytest.mark.parametrize("failure", MAY_HAVE_ARRIVED, ids=repr)
def test_what_creates_is_not_repeated_where_it_may_have_arrived(
    call: Callable[[KestraClient], object], failure: Answer
):
    server = Server(failure, json(FLOW))
    with pytest.raises(KestraError, match=r": (no answer from|status 50[24]:) "):
        call(server.client)
    assert len(server.requests) == 1


def test_a_server_that_does_not_answer_is_given_up_in_time():
    server = Server(httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(KestraError) as caught:
        server.client.get_flow("demo", "hello")
    assert str(caught.value) == (
        "GET /api/v1/main/flows/demo/hello: no answer from http://localhost:8080 within 0 s "
        "([Errno 111] Connection refused); the container's log says why"
    )
    assert caught.value.status is None
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
        (httpx.Response(500, html="<h1>Oops</h1>\n"), "status 500: <h1>Oops</h1>"),
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
def test_a_refusal_is_told_in_the_server_s_own_words(answer: httpx.Response, message: str):
    with pytest.raises(KestraError) as caught:
        Server(answer).client.create_flow("id: hello")
    assert str(caught.value) == f"POST /api/v1/main/flows: {message}"
    assert caught.value.status == answer.status_code


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectError("refused"), httpx.Response(401), httpx.Response(200, text="no JSON")],
    ids=repr,
)
def test_no_error_holds_the_password(answer: Answer):
    with pytest.raises(KestraError) as caught:
        Server(answer).client.create_flow("id: hello")
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__
