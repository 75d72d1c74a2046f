"""make run-flow: what is shown of an execution as it goes, and with which code it ends."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from infra.kestra.client import KestraClient, KestraError
from scripts import run_flow
from tests.unit.command_line import CommandLine

PAGE = "http://localhost:8080/ui/main/executions/zoomcamp/taxi_load/42"
USAGE = 'usage: make run-flow FLOW=namespace/id [INPUTS="name=value ..."] [STACK=dev]\n'


def step(state: str, second: str) -> dict[str, str]:
    return {"state": state, "date": f"2026-01-01T12:00:{second}Z"}


def task(name: str, *steps: dict[str, str]) -> dict[str, Any]:
    return {"id": f"run-{name}", "taskId": name, "state": {"histories": list(steps)}}


def line(task: str, second: str, message: str, level: str = "INFO") -> dict[str, str]:
    run = f"run-{task}"
    moment = f"2026-01-01T12:00:{second}Z"
    return {
        "timestamp": moment,
        "taskId": task,
        "taskRunId": run,
        "level": level,
        "message": message,
    }


class Server:
    """A Kestra whose execution is at the next of its looks whenever its state is asked for."""

    def __init__(
        self,
        *looks: tuple[str, list[dict[str, Any]], list[dict[str, str]]],
        refusal: str | None = None,
    ) -> None:
        self.looks = list(looks)
        self.refusal = refusal
        self.inputs = ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path:
            case "GET", "/api/v1/configs":
                return httpx.Response(200, json={"version": "1.3.34"})
            case "POST", "/api/v1/main/executions/zoomcamp/taxi_load":
                if self.refusal:
                    return httpx.Response(422, json={"message": self.refusal})
                self.inputs = request.read().decode()
                created = {"id": "42", "state": {"current": "CREATED"}, "url": PAGE}
                return httpx.Response(200, json=created)
            case "GET", "/api/v1/main/executions/42":
                state, tasks, _ = self.looks[0]
                body = {"id": "42", "state": {"current": state}, "taskRunList": tasks or None}
                return httpx.Response(200, json=body)
            case "GET", "/api/v1/main/logs/42":
                # The last look stays.
                _, _, lines = self.looks.pop(0) if self.looks[1:] else self.looks[0]
                return httpx.Response(200, json=lines)
        return httpx.Response(404, json={"message": "Not Found"})


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in the zone of the user; for the tests that is UTC."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def follow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """Runs the flow on a server; returns the exit code and what was printed."""
    monkeypatch.setattr(run_flow, "_POLL_SECONDS", 0)

    def run(server: Server, **inputs: str) -> tuple[int, list[str]]:
        transport = httpx.MockTransport(server.answer)
        with KestraClient("http://localhost:8080", "me", "x", transport=transport) as client:
            code = run_flow.run_flow(client, "zoomcamp", "taxi_load", inputs)
        return code, capsys.readouterr().out.splitlines()

    return run


def test_runs_of_a_task_in_a_loop_are_told_apart(follow: Callable) -> None:
    one, other = (
        {**task("load", step("SUCCESS", second)), "id": value, "value": value}
        for value, second in (("yellow 2019-01", "01"), ("green 2019-01", "02"))
    )
    _, printed = follow(Server(("SUCCESS", [one, other], [])))
    assert [text.split(maxsplit=1)[1] for text in printed[1:-1]] == [
        "load yellow 2019-01  SUCCESS",
        "load green 2019-01  SUCCESS",
    ]


def test_tasks_and_lines_are_printed_once_and_in_order(follow: Callable) -> None:
    created, running = step("CREATED", "01"), step("RUNNING", "01.5")
    lines = [
        line("extract", "01.52", "10 rows"),
        line("extract", "02.001", "done"),
        # Two equal lines of one moment are two lines.
        line("load", "03", "again"),
        line("load", "03", "again"),
    ]
    server = Server(
        ("RUNNING", [], []),
        ("RUNNING", [task("extract", created)], []),
        (
            "RUNNING",
            [
                task("extract", created, running, step("SUCCESS", "02.001")),
                task("load", step("CREATED", "02.001")),
            ],
            lines,
        ),
        (
            "SUCCESS",
            [
                task("extract", created, running, step("SUCCESS", "02.001")),
                task("load", step("CREATED", "02.001"), step("SUCCESS", "04")),
            ],
            lines,
        ),
    )
    code, shown = follow(server, taxi="yellow", month="2019-01")
    assert code == 0
    assert shown == [
        "zoomcamp/taxi_load: execution 42",
        "12:00:01  extract       CREATED",
        "12:00:01  extract       RUNNING",
        "12:00:01  extract       INFO  10 rows",
        "12:00:02  extract       INFO  done",
        "12:00:02  extract       SUCCESS",
        "12:00:02  load          CREATED",
        "12:00:03  load          INFO  again",
        "12:00:03  load          INFO  again",
        "12:00:04  load          SUCCESS",
        "zoomcamp/taxi_load: SUCCESS",
    ]
    assert 'name="taxi"\r\n\r\nyellow\r\n' in server.inputs
    assert 'name="month"\r\n\r\n2019-01\r\n' in server.inputs


def test_line_that_reaches_the_log_after_the_end_is_shown(follow: Callable) -> None:
    tasks = [task("load", step("FAILED", "02"))]
    server = Server(
        ("FAILED", tasks, []), ("FAILED", tasks, [line("load", "01", "no such file", "ERROR")])
    )
    assert follow(server) == (
        1,
        [
            "zoomcamp/taxi_load: execution 42",
            "12:00:02  load          FAILED",
            "12:00:01  load          ERROR  no such file",
            "zoomcamp/taxi_load: FAILED",
        ],
    )


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("SUCCESS", 0),
        ("WARNING", 0),
        ("FAILED", 1),
        ("KILLED", 1),
        ("CANCELLED", 1),
        ("RETRIED", 1),
        ("SKIPPED", 1),
    ],
)
def test_exit_code_says_whether_the_execution_succeeded(
    follow: Callable, state: str, code: int
) -> None:
    server = Server(("PAUSED", [], []), ("RUNNING", [], []), (state, [], []))
    assert follow(server) == (
        code,
        ["zoomcamp/taxi_load: execution 42", f"zoomcamp/taxi_load: {state}"],
    )


def test_ctrl_c_leaves_the_execution_running(
    follow: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: KestraClient, __: str) -> list[dict[str, Any]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(KestraClient, "get_logs", interrupted)
    server = Server(("RUNNING", [], []))
    assert follow(server) == (
        130,
        ["zoomcamp/taxi_load: execution 42", "", f"zoomcamp/taxi_load goes on running: {PAGE}"],
    )


def test_refused_execution_is_told_in_the_words_of_the_server(follow: Callable) -> None:
    server = Server(refusal="Missing required input: month")
    with pytest.raises(KestraError, match="status 422: Missing required input: month"):
        follow(server)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "the following arguments are required: FLOW"),
        (["taxi_load"], 'argument FLOW: "taxi_load" must be namespace/id, as zoomcamp/taxi_load'),
        (["a/b/c"], 'argument FLOW: "a/b/c" must be namespace/id, as zoomcamp/taxi_load'),
        (["a/b", "2019-01"], 'argument INPUTS: "2019-01" must be name=value, as month=2019-01'),
        (["a/b", "=x"], 'argument INPUTS: "=x" must be name=value, as month=2019-01'),
    ],
)
def test_wrong_words_are_named_with_the_right_ones(
    command: CommandLine, words: list[str], reason: str
) -> None:
    result = command.run(run_flow.main, *words)
    assert result.code == 2
    assert result.stderr == f"{USAGE}make run-flow: error: {reason}\n"


@pytest.mark.parametrize("exists", [True, False])
def test_stack_that_is_not_up_is_named(command: CommandLine, exists: bool) -> None:
    if exists:
        command.add_stack(tag="genuine")
    result = command.run(run_flow.main, "zoomcamp/taxi_load")
    assert result.code == 1
    assert result.stderr == "Stack dev is not up: make up STACK=dev\n"


def test_server_is_asked_with_the_login_of_the_stack(command: CommandLine) -> None:
    command.add_stack(tag="genuine", resources=3)
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command.set(
            outputs=command.outputs | {"kestraUrl": f"http://127.0.0.1:{server.server_port}"}
        )
        result = command.run(run_flow.main, "zoomcamp/taxi_load")
        server.shutdown()
    assert result.code == 1
    assert result.stderr == (
        "GET /api/v1/configs: status 401: the user name or the password is wrong\n"
    )
    login = base64.b64encode(b"admin@example.com:Secret-1").decode()
    assert seen == [f"Basic {login}"]
